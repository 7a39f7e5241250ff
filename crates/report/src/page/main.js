// The page: filters, theme, the picked cell, and fresh figures where a server gives them.

function visibleCells() {
  return data.cells.filter((cell) => passes(cell, filters));
}

function draw() {
  const cells = visibleCells();
  drawFront(cells);
  drawLinks(cells);
  drawKld(cells);
  drawSpeed(cells);
  drawPhases(cells);
  drawTime(cells);
  filterTable(cells);
}

function tip(cell, node) {
  const box = element("tip");
  box.hidden = !cell;
  if (!cell) return;
  const rows = [
    ["family", cell.family], ...(data.groups[cell.group].unit === "weights"
      ? [["bits/weight", digits(cell.bits, 4)], ["GiB", digits(cell.gib)]]
      : [["bits/value", digits(cell.bits, 4)], ["bytes/token", digits(cell.bytes_per_token, 4)]]),
    ["PPL", digits(cell.ppl, 6)], ["ΔPPL", cell.baseline ? "–" : difference(cell.delta, cell.delta_error)],
    ["KLD", cell.baseline ? "–" : digits(cell.kld)], ["top-1", cell.top1 === null ? "–" : `${(100 * cell.top1).toFixed(2)} %`],
    ["encode, decode MB/s", `${digits(cell.encode_mb_per_s)}, ${digits(cell.decode_mb_per_s)}`],
  ];
  if (cell.kld_floors !== null) rows.push(["in noise floors", `ΔPPL ${digits(cell.delta_floors)}, KLD ${digits(cell.kld_floors)}`]);
  if (cell.status !== "finished") rows.push(["state", cell.status]);
  const title = document.createElement("b");
  title.textContent = cell.label;
  const list = document.createElement("dl");
  for (const [name, value] of rows) {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    list.append(dt, dd);
  }
  box.replaceChildren(title, list);
  const at = node.getBoundingClientRect();
  const left = Math.min(at.right + 12, document.documentElement.clientWidth - box.offsetWidth - 8);
  box.style.left = `${Math.max(8, left) + window.scrollX}px`;
  const below = at.bottom + 10 + box.offsetHeight > window.innerHeight;
  box.style.top = `${(below ? at.top - box.offsetHeight - 10 : at.bottom + 10) + window.scrollY}px`;
}

/** Marks a cell everywhere, and opens its details. */
function pick(key, scroll) {
  chosen.picked = key;
  for (const point of document.querySelectorAll(".point")) point.classList.toggle("picked", point.dataset.cell === key);
  for (const row of document.querySelectorAll("#cells tbody tr")) row.classList.toggle("picked", `cell-${row.dataset.cell}` === key);
  const details = element(key);
  if (!details) return;
  details.open = true;
  if (scroll) {
    tip(null);
    details.scrollIntoView({ block: "start" });
    details.querySelector("summary").focus({ preventScroll: true });
  }
}

function chips() {
  const inGroup = data.cells.filter((cell) => filters.group === "all" || cell.group === filters.group);
  const families = data.families.map((family) => family.name).filter((family) => inGroup.some((cell) => cell.family === family));
  if (inGroup.some((cell) => cell.baseline)) families.unshift("baseline");
  const buttons = families.map((family) => {
    const sample = inGroup.find((cell) => cell.family === family);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "chip";
    button.dataset.family = family;
    const on = filters.families.has(family);
    button.setAttribute("aria-pressed", String(on));
    button.classList.toggle("off", filters.families.size > 0 && !on);
    const symbol = symbolOf(sample);
    const path = d3.path();
    const kind = typeof symbol === "string" ? d3[`symbol${symbol[0].toUpperCase()}${symbol.slice(1)}`] : symbol;
    if (kind) kind.draw(path, 70);
    else d3.symbolCircle.draw(path, 70);
    const svg = d3.create("svg:svg").attr("width", 12).attr("height", 12).attr("viewBox", "-6 -6 12 12").attr("aria-hidden", "true");
    svg.append("path").attr("d", path.toString()).attr("fill", colorOf(sample));
    const count = inGroup.filter((cell) => cell.family === family).length;
    button.append(svg.node(), `${family} · ${count}`);
    button.addEventListener("click", () => {
      if (!filters.families.delete(family)) filters.families.add(family);
      chips();
      draw();
      document.querySelector(`.chip[data-family="${CSS.escape(family)}"]`)?.focus();
    });
    return button;
  });
  element("families").replaceChildren(...buttons);
}

function cards() {
  const cells = data.cells.filter((cell) => filters.group === "all" || cell.group === filters.group);
  const group = filters.group === "all" ? null : data.groups[filters.group];
  const finished = cells.filter((cell) => cell.status === "finished" && !cell.baseline);
  const count = (state) => cells.filter((cell) => cell.status === state).length;
  const small = (limit) => {
    const good = finished.filter((cell) => cell.bits !== null && cell.delta !== null && group?.ppl && Math.abs(cell.delta) / group.ppl <= limit);
    return good.sort((a, b) => a.bits - b.bits)[0];
  };
  const entries = [[`${cells.length}`, ["cells", ...["running", "failed", "imported"].filter(count).map((state) => `${count(state)} ${state}`)].join(", ")]];
  if (group?.ppl) entries.push([digits(group.ppl, 6), "perplexity of the baseline"]);
  for (const limit of [0.001, 0.01, 0.1]) {
    const best = small(limit);
    if (best) entries.push([`${digits(best.bits, 4)} bits`, `${best.label}: fewest bits within ${100 * limit} % of its perplexity`]);
  }
  element("cards").replaceChildren(...entries.map(([value, name]) => {
    const card = document.createElement("div");
    card.className = "card";
    const b = document.createElement("b"), span = document.createElement("span");
    b.textContent = value;
    span.textContent = name;
    card.append(b, span);
    return card;
  }));
  element("subtitle").textContent = group
    ? `${group.subtitle}${group.fingerprint ? ` · protocol ${group.fingerprint}` : ""}`
    : "Several protocols: their perplexities do not compare with each other.";
}

function groups() {
  const select = element("group");
  element("group-label").hidden = data.groups.length < 2;
  const options = data.groups.map((group, at) => new Option(`${group.title} · ${group.subtitle.split(" · ")[0]}`, String(at)));
  if (data.groups.length > 1) options.push(new Option("all together", "all"));
  select.replaceChildren(...options);
  if (filters.group !== "all" && filters.group >= data.groups.length) filters.group = 0;
  select.value = String(filters.group);
}

/** Offers the axes that some cell here has a figure for; the first of each list always. */
function offerAxes() {
  const cells = data.cells.filter((cell) => !cell.baseline && (filters.group === "all" || cell.group === filters.group));
  for (const id of ["front-x", "front-y"]) {
    const select = element(id);
    for (const option of [...select.options].slice(1)) {
      const known = cells.some((cell) => (METRICS[option.value].of(cell) ?? null) !== null);
      option.hidden = option.disabled = !known;
    }
    if (select.selectedIndex < 0 || select.selectedOptions[0].disabled) select.selectedIndex = 0;
  }
}

function redrawAll() {
  groups();
  offerAxes();
  cards();
  chips();
  draw();
}

function installTheme() {
  const root = document.documentElement;
  try {
    const kept = localStorage.getItem("strait-theme");
    if (kept) root.dataset.theme = kept;
  } catch { /* a page from a file may have no storage */ }
  element("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem("strait-theme", root.dataset.theme);
    } catch { /* as above */ }
  });
}

function installControls() {
  element("group").addEventListener("change", (event) => {
    filters.group = event.target.value === "all" ? "all" : Number(event.target.value);
    filters.families.clear();
    redrawAll();
  });
  element("search").addEventListener("input", (event) => {
    filters.query = event.target.value;
    draw();
  });
  element("reset").addEventListener("click", () => {
    filters.families.clear();
    filters.query = element("search").value = "";
    chosen.picked = null;
    chips();
    draw();
  });
  for (const id of ["front-x", "front-y", "links-y", "speed-x"]) element(id).addEventListener("change", draw);
  for (const id of ["mbit", "rtt", "batch", "compute"]) element(id).addEventListener("input", () => drawTime(visibleCells()));
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const code = button.closest("figure").querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
  });
  addEventListener("hashchange", followHash);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") tip(null);
    if (event.key === "/" && !/input|select|textarea/i.test(document.activeElement.tagName)) {
      event.preventDefault();
      element("search").focus();
    }
  });
  let width = window.innerWidth, waiting;
  addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(draw, 120);
  });
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("#details > details:not([open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });
}

function followHash() {
  const key = decodeURIComponent(location.hash.slice(1));
  if (/^cell-\d+$/.test(key)) pick(key, true);
}

/** Takes new figures from the server that sent this page. */
function installLive() {
  const { live, every } = document.body.dataset;
  if (!live) return;
  const sign = element("live");
  sign.hidden = false;
  sign.textContent = "live";
  let last = "";
  const ask = async () => {
    try {
      const text = await (await fetch(live, { cache: "no-store" })).text();
      sign.classList.remove("stale");
      sign.textContent = `live, ${new Date().toLocaleTimeString()}`;
      if (text !== last) {
        last = text;
        const fresh = JSON.parse(text);
        const open = new Set([...document.querySelectorAll("#details > details[open]")].map((details) => details.querySelector("summary").firstChild.textContent.trim()));
        data = fresh.data;
        document.querySelector("#cells tbody").innerHTML = fresh.rows;
        element("details").innerHTML = fresh.details;
        for (const details of document.querySelectorAll("#details > details")) details.open = open.has(details.querySelector("summary").firstChild.textContent.trim());
        document.querySelector("h1").textContent = document.title = fresh.title;
        sortTable();
        redrawAll();
      }
    } catch {
      sign.classList.add("stale");
      sign.textContent = "the server has gone";
    }
  };
  setInterval(ask, 1000 * Number(every));
}

installTheme();
installControls();
installSorting();
installLive();
redrawAll();
followHash();
document.documentElement.dataset.ready = "true";

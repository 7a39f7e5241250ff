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

/** Writes the details of a cell, the latest first. */
function detailsOf(key) {
  if (!element(key)) {
    const html = cellDetails[Number(key.slice("cell-".length))];
    if (html === undefined) return null;
    element("details").insertAdjacentHTML("afterbegin", html);
  }
  return element(key);
}

/** Charts that show few cells show the picked one, too. */
function redrawFew() {
  const cells = visibleCells();
  drawLinks(cells);
  drawKld(cells);
  drawPhases(cells);
  drawTime(cells);
}

/** Marks a cell everywhere, and opens its details. */
function pick(key, scroll) {
  chosen.picked = key;
  for (const point of document.querySelectorAll(".point")) point.classList.toggle("picked", point.dataset.cell === key);
  for (const row of document.querySelectorAll("#cells tbody tr")) row.classList.toggle("picked", `cell-${row.dataset.cell}` === key);
  const details = detailsOf(key);
  if (!details) return;
  details.open = true;
  redrawFew();
  if (scroll) {
    tip(null);
    details.scrollIntoView({ block: "start" });
    details.querySelector("summary").focus({ preventScroll: true });
  }
}

function chips() {
  const inGroup = data.cells.filter((cell) => cell.group === filters.group);
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

/** What to pick: of the cells within each loss the one with the fewest bits. */
function cards() {
  const cells = data.cells.filter((cell) => cell.group === filters.group);
  const group = data.groups[filters.group];
  const usable = cells.filter((cell) => cell.status === "finished" && !cell.baseline && cell.bits !== null && cell.kld !== null);
  const entries = usable.length ? [0.001, 0.01, 0.1] : [];
  element("cards").replaceChildren(...entries.map((limit) => {
    const best = usable.filter((cell) => cell.kld <= limit).sort((a, b) => a.bits - b.bits || a.kld - b.kld)[0];
    const card = document.createElement(best ? "button" : "div");
    card.className = "card";
    const parts = best
      ? [["span", `fewest bits within ${limit} nats`], ["b", `${digits(best.bits, 3)} bits · ${best.label}`], ["span", `KLD ${digits(best.kld)}, ΔPPL ${difference(best.delta, best.delta_error)}`]]
      : [["span", `fewest bits within ${limit} nats`], ["b", "none"], ["span", "no cell here loses as little"]];
    for (const [name, text] of parts) {
      const part = document.createElement(name);
      part.textContent = text;
      card.append(part);
    }
    if (best) {
      card.type = "button";
      card.addEventListener("click", () => pick(best.key, true));
    }
    return card;
  }));
  const count = (state) => cells.filter((cell) => cell.status === state).length;
  const states = ["running", "failed", "imported"].filter(count).map((state) => `${count(state)} ${state}`);
  element("subtitle").textContent = [
    group.subtitle, group.ppl ? `baseline PPL ${digits(group.ppl, 6)}` : "", [`${cells.length} cells`, ...states].join(", "),
    group.fingerprint ? `protocol ${group.fingerprint}` : "",
  ].filter(Boolean).join(" · ");
  document.querySelector("h1").textContent = group.title;
}

function groups() {
  const select = element("group");
  element("group-label").hidden = data.groups.length < 2;
  const options = data.groups.map((group, at) => new Option(`${group.title} · ${group.subtitle.split(" · ")[0]}`, String(at)));
  select.replaceChildren(...options);
  if (filters.group >= data.groups.length) filters.group = 0;
  select.value = String(filters.group);
}

/** Offers the axes that some cell here has a figure for; the first of each list always. */
function offerAxes() {
  const cells = data.cells.filter((cell) => !cell.baseline && cell.group === filters.group);
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
    filters.group = Number(event.target.value);
    filters.families.clear();
    chosen.picked = null;
    element("details").replaceChildren();
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
  for (const id of ["mbit", "rtt", "loss", "batch", "compute"]) element(id).addEventListener("input", () => drawTime(visibleCells()));
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
      element("filter").open = true;
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
}

function followHash() {
  const key = decodeURIComponent(location.hash.slice(1));
  const cell = data.cells.find((cell) => cell.key === key);
  if (!cell) return;
  if (cell.group !== filters.group) {
    filters.group = cell.group;
    redrawAll();
  }
  pick(key, true);
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
        // A cell keeps its label, not its place, while others arrive.
        const labels = [...document.querySelectorAll("#details > details[open]")].map((details) => data.cells[details.dataset.cell].label);
        data = fresh.data;
        cellDetails = fresh.details;
        document.querySelector("#cells tbody").innerHTML = fresh.rows;
        element("details").replaceChildren();
        for (const cell of data.cells.filter((cell) => labels.includes(cell.label))) detailsOf(cell.key).open = true;
        document.title = fresh.title;
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

/** A text that was packed when the page was written. */
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(element(`packed-${id}`).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

async function start() {
  for (const library of ["d3", "plot"]) {
    const script = document.createElement("script");
    script.textContent = await unpacked(library);
    document.head.append(script);
  }
  data = JSON.parse(await unpacked("data"));
  cellDetails = JSON.parse(await unpacked("cell-details"));
  installControls();
  installSorting();
  installLive();
  redrawAll();
  followHash();
  document.documentElement.dataset.ready = "true";
}

installTheme();
start();

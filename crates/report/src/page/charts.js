// The charts: each draws the visible cells into its element, as SVG that the style sheet colours.

const SHAPES = ["circle", "square", "triangle", {
  draw(context, size) {
    const s = Math.sqrt(size) * 0.72;
    context.moveTo(0, s);
    context.lineTo(s, -0.75 * s);
    context.lineTo(-s, -0.75 * s);
    context.closePath();
  },
}, "hexagon"];

/** Figures and the details of each cell, once they are unpacked. */
let data = null, cellDetails = [];
/** Rows of a chart that still fit beside another one. */
const MOST_ROWS = 18;

const filters = { group: 0, families: new Set(), query: "" };
const chosen = { picked: null };
const element = (id) => document.getElementById(id);

/** The look of a cell's family, the same in every picture; none for the baseline. */
function lookOf(cell) {
  return cell.baseline ? undefined : data.families.find((family) => family.name === cell.family);
}

function colorOf(cell) {
  const look = lookOf(cell);
  return look ? `var(--f${look.color})` : "var(--ink)";
}

function symbolOf(cell) {
  const look = lookOf(cell);
  return look ? SHAPES[look.shape] : "diamond";
}

/** What bits and bytes are counted of. */
const UNITS = {
  links: { bits: "bits per value on the links", bytes: "bytes per token and link" },
  cache: { bits: "bits per cached value", bytes: "bytes of keys and values per token" },
  weights: { bits: "bits per weight of the decoder", bytes: "bytes per token and link" },
  mixed: { bits: "bits per value, on the links or cached", bytes: "bytes per token, on a link or cached" },
};

/** The words for the experiment that is shown. */
function words(what) {
  return UNITS[data.groups[filters.group].unit][what];
}

/** What a chart's axis can show: text, value, error, and the kind of scale. */
const METRICS = {
  bits: { get name() { return words("bits"); }, of: (c) => c.bits, scale: "log" },
  bytes_per_token: { get name() { return words("bytes"); }, of: (c) => c.bytes_per_token, scale: "log" },
  gib: { name: "GiB of all weights", of: (c) => c.gib, scale: "log" },
  delta: { name: "ΔPPL", of: (c) => (c.baseline ? 0 : c.delta), error: (c) => c.delta_error, scale: "symlog" },
  kld: { name: "mean KLD (nats)", of: (c) => c.kld, error: (c) => c.kld_error, scale: "log" },
  kld99: { name: "KLD, 99 % quantile (nats)", of: (c) => c.kld_quantiles && c.kld_quantiles[4], scale: "log" },
  delta_floors: { name: "ΔPPL in noise floors", of: (c) => (c.baseline ? 0 : c.delta_floors), scale: "symlog" },
  kld_floors: { name: "mean KLD in noise floors", of: (c) => c.kld_floors, scale: "log" },
  top1loss: { name: "tokens with another top-1 (share)", of: (c) => (c.top1 === null ? null : 1 - c.top1), scale: "log" },
  encode_mb_per_s: { name: "encode MB/s", of: (c) => c.encode_mb_per_s, scale: "log" },
  decode_mb_per_s: { name: "decode MB/s", of: (c) => c.decode_mb_per_s, scale: "log" },
};

/** The cells with a place on both axes, and what the axes need. */
function scatter(cells, xMetric, yMetric) {
  const usable = (metric, value) => value !== null && value !== undefined && (metric.scale !== "log" || value > 0);
  const points = cells
    .map((cell) => ({ cell, x: xMetric.of(cell), y: yMetric.of(cell), error: yMetric.error ? yMetric.error(cell) ?? 0 : 0 }))
    .filter((p) => usable(xMetric, p.x) && usable(yMetric, p.y));
  return points;
}

function axisOf(metric, values) {
  if (metric.scale === "symlog") {
    const sizes = values.map(Math.abs).filter((v) => v > 0);
    const least = sizes.length ? Math.min(...sizes) : 0.01;
    const constant = Math.pow(10, Math.floor(Math.log10(Math.min(Math.max(least, 1e-4), 1e3))));
    let low = Math.min(0, ...values), high = Math.max(constant, ...values);
    low = low < 0 ? low * 1.6 - constant * 0.2 : -constant * 0.35;
    high *= 1.7;
    return { type: "symlog", constant, domain: [low, high], ticks: symlogTicks(low, high, constant), tickFormat: tick };
  }
  const domain = roomy(values);
  return { type: "log", domain, ticks: logTicks(...domain), tickFormat: tick };
}

function bitsAxis(values) {
  const domain = roomy(values, 0.08);
  const marks = [0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 64].filter((v) => v >= domain[0] && v <= domain[1]);
  return { type: "log", base: 2, domain, ticks: marks.length > 2 ? marks : d3.ticks(...domain, 6), tickFormat: String };
}

/** Lines at the marks of the axes, across and up. */
function grids(x, y) {
  const look = { stroke: "var(--grid)", strokeOpacity: 1 };
  return [Plot.gridX({ ...look, ticks: x?.ticks }), Plot.gridY({ ...look, ticks: y?.ticks })];
}

/** A chart that there is nothing for has no place on the page. */
function absent(id) {
  element(id).replaceChildren();
  element(id).closest("section").hidden = true;
}

/** The cells that a chart of lines or bars has room for: the front, the picked one, and those that lose least. */
function leading(cells, most) {
  const rank = (cell) => (cell.key === chosen.picked ? 0 : cell.fronts.includes("bits kld") ? 1 : 2);
  return [...cells].sort((a, b) => rank(a) - rank(b) || (a.kld ?? Infinity) - (b.kld ?? Infinity)).slice(0, most);
}

function empty(id, text) {
  element(id).closest("section").hidden = false;
  const p = document.createElement("p");
  p.className = "empty";
  p.textContent = text;
  element(id).replaceChildren(p);
}

/** Draws a chart and makes its points reachable by mouse and keyboard. */
function show(id, options, points) {
  const box = element(id);
  box.closest("section").hidden = false;
  const width = Math.max(320, Math.floor(box.clientWidth || 600));
  const svg = Plot.plot({ width, style: { background: "none", overflow: "visible" }, color: { type: "identity" }, ...options });
  svg.setAttribute("role", "group");
  box.replaceChildren(svg);
  if (points) interactive(svg, points);
  return svg;
}

/** One point of a chart is in the tab order; arrow keys go from point to point. */
function interactive(svg, points) {
  const groups = svg.querySelectorAll('g[aria-label="dot"]');
  const nodes = groups.length ? [...groups[groups.length - 1].children] : [];
  const order = nodes.map((_, at) => at).sort((a, b) => points[a].x - points[b].x || points[a].y - points[b].y);
  nodes.forEach((node, at) => {
    const { cell } = points[at];
    node.classList.add("point");
    node.dataset.cell = cell.key;
    if (cell.key === chosen.picked) node.classList.add("picked");
    node.setAttribute("tabindex", at === order[0] ? "0" : "-1");
    node.setAttribute("role", "button");
    node.setAttribute("aria-label", summary(cell));
    node.addEventListener("pointerenter", () => tip(cell, node));
    node.addEventListener("pointerleave", () => tip(null));
    node.addEventListener("focus", () => tip(cell, node));
    node.addEventListener("blur", () => tip(null));
    node.addEventListener("click", () => pick(cell.key, true));
    node.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        pick(cell.key, true);
      } else if (step) {
        event.preventDefault();
        const next = nodes[order[(order.indexOf(at) + step + order.length) % order.length]];
        node.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      }
    });
  });
}

function summary(cell) {
  return `${cell.label}: ${digits(cell.bits)} bits, ΔPPL ${cell.baseline ? "0" : difference(cell.delta, cell.delta_error)}`;
}

const dots = (points, extra) =>
  Plot.dot(points, {
    x: "x", y: "y", fill: (p) => (p.cell.status === "imported" ? "var(--panel)" : colorOf(p.cell)), stroke: (p) => (p.cell.status === "imported" ? colorOf(p.cell) : "var(--panel)"),
    strokeWidth: 1.2, symbol: (p) => symbolOf(p.cell), r: 5.5, fillOpacity: (p) => (p.cell.status === "running" ? 0.45 : 1), ...extra,
  });

/** Labels beside their points where there is room: none covers a point or another label. */
function label(svg, points, first) {
  const x = svg.scale("x"), y = svg.scale("y");
  const box = svg.viewBox.baseVal;
  const taken = points.map((p) => ({ x: x.apply(p.x) - 6, y: y.apply(p.y) - 6, w: 12, h: 12 }));
  const overlaps = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
  const layer = d3.select(svg).append("g").attr("aria-hidden", "true").attr("font-size", 11).attr("text-anchor", "start").attr("fill", "var(--ink)").attr("pointer-events", "none");
  const order = [...points.keys()].sort((a, b) => first.has(b) - first.has(a));
  for (const at of order) {
    const p = points[at];
    const w = p.cell.label.length * (first.has(at) ? 6.5 : 6.1) + 2, h = 13;
    const px = x.apply(p.x), py = y.apply(p.y);
    const spots = [];
    for (const gap of [9, 14, 22]) {
      spots.push([px + gap, py - h / 2], [px + gap * 0.7, py - gap * 0.7 - h], [px + gap * 0.7, py + gap * 0.7], [px - gap - w, py - h / 2], [px - w / 2, py - gap - h], [px - w / 2, py + gap]);
    }
    const spot = spots.find(([sx, sy]) => {
      const rect = { x: sx, y: sy, w, h };
      return sx > box.x + 40 && sx + w < box.width - 2 && sy > 4 && sy + h < box.height - 34 && !taken.some((other) => overlaps(rect, other));
    });
    if (!spot) continue;
    taken.push({ x: spot[0], y: spot[1], w, h });
    layer.append("text").attr("class", "halo").attr("x", spot[0]).attr("y", spot[1] + 10.2).attr("font-weight", first.has(at) ? 650 : 400).text(p.cell.label);
  }
}

function drawFront(cells) {
  const xKey = element("front-x").value, yKey = element("front-y").value;
  const xMetric = METRICS[xKey], yMetric = METRICS[yKey];
  const points = scatter(cells, xMetric, yMetric);
  if (!points.length) return empty("chart-front", "No cell here has both figures.");
  // A unit of the noise floor puts no cell before another.
  const axes = `${xKey} ${yKey.replace("_floors", "")}`;
  const front = points.map((p, at) => at).filter((at) => points[at].cell.fronts.includes(axes));
  const ends = points.flatMap((p) => (yMetric.scale === "log" ? [p.y] : [p.y - p.error, p.y + p.error]));
  const xs = points.map((p) => p.x);
  const floor = yMetric.scale === "log" ? Math.min(...points.map((p) => p.y)) * 0.5 : -Infinity;
  const bars = points.filter((p) => p.error > 0);
  const xAxis = xKey === "bits" ? bitsAxis(xs) : axisOf(xMetric, xs), yAxis = axisOf(yMetric, ends);
  const svg = show("chart-front", {
    height: Math.max(340, Math.min(520, window.innerHeight * 0.47)), marginLeft: 66, marginBottom: 42, marginRight: 24, marginTop: 22, insetLeft: 8,
    x: { ...xAxis, label: `${xMetric.name} →`, labelAnchor: "right" },
    y: { ...yAxis, label: `↑ ${yMetric.name}`, labelAnchor: "top" },
    marks: [
      ...grids(xAxis, yAxis),
      yMetric.scale === "symlog" ? Plot.ruleY([0], { stroke: "var(--faint)", strokeDasharray: "5 4" }) : null,
      Plot.line(lowest(front.map((at) => points[at])), { x: "x", y: "y", stroke: "var(--faint)", strokeWidth: 1.6 }),
      Plot.ruleX(bars, { x: "x", y1: (p) => Math.max(p.y - p.error, floor), y2: (p) => p.y + p.error, stroke: (p) => colorOf(p.cell), strokeWidth: 1.5 }),
      dots(points),
    ],
  }, points);
  label(svg, points, new Set(front));
}

function drawLinks(cells) {
  const key = element("links-y").value;
  const names = { sqnr_db: "SQNR (dB)", mse: "mean squared error", cosine_distance: "1 − cosine", max_abs: "largest error" };
  const wrong = cells.filter((cell) => !cell.cached && cell.links.some((link) => !link.exact));
  if (!wrong.length) return absent("chart-links");
  const points = leading(wrong, 8).flatMap((cell) => cell.links.map((link, at) => ({ cell, link, x: link.layer ?? at, y: link[key] })))
    .filter((p) => p.y !== null && !p.link.exact && (key === "sqnr_db" || p.y > 0));
  if (!points.length) return empty("chart-links", "No link of these cells has an error.");
  const layers = [...new Set(points.map((p) => p.x))].sort((a, b) => a - b);
  const linear = key === "sqnr_db";
  const domain = linear ? undefined : roomy(points.map((p) => p.y));
  show("chart-links", {
    height: 330, marginLeft: 60, marginBottom: 40, marginTop: 22,
    x: { label: "cut after layer →", labelAnchor: "right", ticks: layers, tickFormat: String, inset: 12 },
    y: linear ? { label: `↑ ${names[key]}`, nice: true, inset: 6 } : { type: "log", domain, ticks: logTicks(...domain), tickFormat: tick, label: `↑ ${names[key]}` },
    marks: [
      grids()[1],
      Plot.line(points, { x: "x", y: "y", z: (p) => p.cell.key, stroke: (p) => colorOf(p.cell), strokeWidth: 1.3, strokeOpacity: 0.75 }),
      dots(points, { r: 3.8 }),
    ],
  }, points);
}

function drawKld(cells) {
  const diverging = cells.filter((c) => c.kld_quantiles && c.kld_quantiles[6] > 0 && !c.baseline && c.kld > 0);
  if (!diverging.length) return absent("chart-kld");
  const points = leading(diverging, MOST_ROWS).map((cell) => ({ cell, x: cell.kld, y: cell.key, q: cell.kld_quantiles }));
  element("kld-left").textContent = points.length < diverging.length ? `The front and those that lose least: ${points.length} of ${diverging.length} cells.` : "";
  points.sort((a, b) => a.q[2] - b.q[2]);
  const floor = Math.max(1e-9, Math.min(...points.map((p) => (p.q[1] > 0 ? p.q[1] : p.q[2] > 0 ? p.q[2] : p.x))) / 4);
  const at = (value) => Math.max(value, floor);
  const labels = new Map(points.map((p) => [p.cell.key, p.cell.label]));
  const longest = Math.max(...points.map((p) => p.cell.label.length));
  const domain = [floor, Math.max(...points.map((p) => at(p.q[4]))) * 1.3];
  show("chart-kld", {
    height: Math.max(240, points.length * 20 + 60), marginLeft: Math.min(190, longest * 6.4 + 16), marginBottom: 40, marginTop: 8,
    x: { type: "log", domain, ticks: logTicks(...domain), tickFormat: tick, label: "nats per token →", labelAnchor: "right" },
    y: { type: "band", domain: points.map((p) => p.y), tickFormat: (k) => labels.get(k), label: null, tickSize: 0, padding: 0.35 },
    marks: [
      grids({ ticks: logTicks(...domain) })[0],
      Plot.ruleY(points, { y: "y", x1: (p) => at(p.q[0]), x2: (p) => at(p.q[4]), stroke: (p) => colorOf(p.cell), strokeWidth: 1.2 }),
      Plot.barX(points, { y: "y", x1: (p) => at(p.q[1]), x2: (p) => at(p.q[3]), fill: (p) => colorOf(p.cell), fillOpacity: 0.32, rx: 2 }),
      Plot.tickX(points, { y: "y", x: (p) => at(p.q[2]), stroke: (p) => colorOf(p.cell), strokeWidth: 2.4 }),
      dots(points, { x: (p) => at(p.x), r: 4, symbol: "circle" }),
    ],
  }, points);
}

function drawSpeed(cells) {
  const xKey = element("speed-x").value, yKey = element("front-y").value;
  const xMetric = METRICS[xKey], yMetric = METRICS[yKey];
  if (!cells.some((c) => !c.baseline && (c.encode_mb_per_s || c.decode_mb_per_s))) return absent("chart-speed");
  const points = scatter(cells.filter((c) => !c.baseline), xMetric, yMetric);
  if (!points.length) return empty("chart-speed", "No cell here has both figures.");
  const ends = points.flatMap((p) => (yMetric.scale === "log" ? [p.y] : [p.y - p.error, p.y + p.error]));
  const xAxis = axisOf(xMetric, points.map((p) => p.x)), yAxis = axisOf(yMetric, ends);
  const svg = show("chart-speed", {
    height: 330, marginLeft: 60, marginBottom: 40, marginTop: 22,
    x: { ...xAxis, label: `${xMetric.name} →`, labelAnchor: "right" },
    y: { ...yAxis, label: `↑ ${yMetric.name}` },
    marks: [
      ...grids(xAxis, yAxis),
      dots(points),
    ],
  }, points);
  label(svg, points, new Set());
}

function drawPhases(cells) {
  const settings = new Map();
  for (const cell of cells.filter((c) => c.bytes_per_token !== null && !c.cached && c.status !== "imported")) {
    const key = `${cell.group} ${cell.setting}`;
    const entry = settings.get(key) ?? { cell, prefill: null, decode: null };
    if (cell.chunk_tokens === null) entry.prefill = cell;
    else if (cell.chunk_tokens === 1) entry.decode = cell;
    settings.set(key, entry);
  }
  const measured = [...settings.values()].filter((row) => row.prefill || row.decode);
  if (!measured.length) return absent("chart-phases");
  const few = new Set(leading(measured.map((row) => row.cell), MOST_ROWS));
  const rows = measured.filter((row) => few.has(row.cell));
  const both = rows.filter((row) => row.prefill && row.decode).length;
  element("phases-hint").textContent = both
    ? "Bytes of a token on one link: hollow in whole messages (prefill), filled alone in a message (decode)."
    : rows.some((row) => row.decode)
      ? "Only single tokens (decode) were measured here: leave chunk_tokens out of [run] to measure whole messages."
      : "Only whole messages (prefill) were measured here: chunk_tokens = 1 in [run] measures what crosses while text is generated.";
  const value = (row) => (row.decode ?? row.prefill).bytes_per_token;
  rows.sort((a, b) => value(a) - value(b));
  const points = rows.flatMap((row) => ["prefill", "decode"].filter((phase) => row[phase])
    .map((phase) => ({ cell: row[phase], phase, x: row[phase].bytes_per_token, y: row.cell.key })));
  const labels = new Map(rows.map((row) => [row.cell.key, row.cell.label]));
  const longest = Math.max(...rows.map((row) => row.cell.label.length));
  const domain = roomy(points.map((p) => p.x));
  show("chart-phases", {
    height: Math.max(240, rows.length * 20 + 60), marginLeft: Math.min(190, longest * 6.4 + 16), marginBottom: 40, marginTop: 8,
    x: { type: "log", domain, ticks: logTicks(...domain), tickFormat: tick, label: "bytes per token and link →", labelAnchor: "right" },
    y: { type: "point", domain: rows.map((row) => row.cell.key), tickFormat: (k) => labels.get(k), label: null, tickSize: 0, padding: 0.6 },
    marks: [
      grids({ ticks: logTicks(...domain) })[0],
      Plot.ruleY(rows.filter((row) => row.prefill && row.decode), { y: (row) => row.cell.key, x1: (row) => row.prefill.bytes_per_token, x2: (row) => row.decode.bytes_per_token, stroke: (row) => colorOf(row.cell), strokeWidth: 1.6 }),
      dots(points, { fill: (p) => (p.phase === "prefill" ? "var(--panel)" : colorOf(p.cell)), stroke: (p) => colorOf(p.cell), strokeWidth: 1.8, r: 4.6 }),
    ],
  }, points);
}

/** The cells that may be chosen on this network, the fastest first: as `strait plan`, within a loss of perplexity. */
function choices(cells) {
  const mbit = Math.pow(10, Number(element("mbit").value));
  const rtt = Number(element("rtt").value), tokens = Number(element("batch").value), compute = element("compute").checked;
  const most = element("loss").value === "" ? Infinity : Number(element("loss").value);
  const at = (cell, x) => timePerToken(cell, x, rtt, tokens, compute);
  const timed = cells.filter((cell) => !cell.cached && cell.links.length && at(cell, mbit) !== null);
  const good = timed.filter((cell) => cell.baseline || (cell.delta !== null && cell.delta <= most));
  const points = good.map((cell) => ({ cell, x: mbit, y: at(cell, mbit) })).sort((a, b) => a.y - b.y);
  return { mbit, at, timed, points, most };
}

function drawTime(cells) {
  const { mbit, at, timed, points, most } = choices(cells);
  element("mbit-out").textContent = mbit >= 1000 ? `${digits(mbit / 1000)} Gbit/s` : `${digits(mbit)} Mbit/s`;
  element("rtt-out").textContent = `${element("rtt").value} ms`;
  const some = timed.some((cell) => !cell.baseline);
  element("plan").hidden = !some;
  element("first").classList.toggle("alone", !some);
  if (!some) return absent("chart-time");
  const shown = points.slice(0, 8);
  for (const p of points.slice(8)) if (p.cell.baseline || p.cell.key === chosen.picked) shown.push(p);
  timeList(shown);
  const slower = points.length - shown.length, beyond = timed.length - points.length;
  element("time-hint").textContent = [
    "Milliseconds of a token over all links: encode, transfer, half a round trip, decode.",
    slower ? `${slower} slower ones are not listed.` : "",
    beyond ? `${beyond} cells lose more than ${most}.` : "",
  ].filter(Boolean).join(" ");
  const bandwidths = d3.range(0, 5.001, 0.05).map((power) => Math.pow(10, power));
  const lines = shown.flatMap(({ cell }) => bandwidths.map((x) => ({ cell, x, y: at(cell, x) })));
  const domain = roomy(lines.map((p) => p.y).filter((y) => y > 0), 0.03);
  show("chart-time", {
    height: 330, marginLeft: 60, marginBottom: 40, marginTop: 22,
    x: { type: "log", domain: [1, 1e5], ticks: [1, 10, 100, 1e3, 1e4, 1e5], tickFormat: (v) => (v >= 1000 ? `${v / 1000} G` : `${v} M`), label: "bit/s →", labelAnchor: "right" },
    y: { type: "log", domain, ticks: logTicks(...domain), tickFormat: tick, label: "↑ milliseconds per token" },
    marks: [
      ...grids({ ticks: [1, 10, 100, 1e3, 1e4, 1e5] }, { ticks: logTicks(...domain) }),
      Plot.ruleX([mbit], { stroke: "var(--accent)", strokeWidth: 1.4 }),
      Plot.line(lines, { x: "x", y: "y", z: (p) => p.cell.key, stroke: (p) => colorOf(p.cell), strokeWidth: (p) => (p.cell.baseline ? 2.2 : 1.4), strokeOpacity: 0.85 }),
      dots(shown, { r: 4 }),
    ],
  }, shown);
}

function timeList(points) {
  const baselines = new Map(data.cells.filter((c) => c.baseline && c.links.length).map((c) => [c.group, c]));
  const rows = points.map(({ cell, y }) => {
    const even = baselines.has(cell.group) && !cell.baseline ? breakEven(cell, baselines.get(cell.group)) : null;
    const text = even === null ? "–" : even === Infinity ? "always" : even >= 1000 ? `${digits(even / 1000)} Gbit/s` : `${digits(even)} Mbit/s`;
    return [cell, digits(y, 4), cell.baseline ? "–" : digits(cell.delta), text];
  });
  const table = d3.create("table");
  table.append("thead").append("tr").selectAll("th").data(["Cell", "ms/token", "ΔPPL", "pays below"]).join("th").attr("scope", "col").text((d) => d);
  const tr = table.append("tbody").selectAll("tr").data(rows).join("tr").classed("picked", (d) => d[0].key === chosen.picked);
  const th = tr.append("th").attr("scope", "row");
  th.append("i").attr("class", "swatch").style("background", (d) => colorOf(d[0]));
  th.append("a").attr("href", (d) => `#${d[0].key}`).text((d) => d[0].label);
  for (const column of [1, 2, 3]) tr.append("td").text((d) => d[column]);
  element("time-list").replaceChildren(table.node());
}

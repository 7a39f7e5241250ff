// Figures without a document: numbers as text, axes, fronts, and the time of a token.

/** Three significant digits, exponents only where they help. */
function digits(value, count = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e5) return minus(value.toExponential(count - 1));
  const decimals = Math.max(0, count - 1 - Math.floor(Math.log10(size)));
  return minus(value.toFixed(Math.min(decimals, 8)));
}

/** Typographic minus. */
function minus(text) {
  return text.replace(/-/g, "−");
}

/** A difference with as many decimals as give its error two digits. */
function difference(value, error) {
  if (value === null || value === undefined) return "–";
  if (value === 0 && !error) return "0";
  let decimals = 6;
  if (error > 0) decimals = Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(error))));
  const sign = value > 0 ? "+" : "";
  if (Math.abs(value) >= 1e5) return sign + minus(value.toExponential(1));
  const text = sign + minus(value.toFixed(error === null ? 4 : decimals));
  return error === null || error === undefined ? text : `${text} ± ${error.toFixed(decimals)}`;
}

/** A power of ten or a plain number, for axes. */
function tick(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const sign = value < 0 ? "−" : "";
  if (size >= 1e-3 && size < 1e5) return sign + String(Number(size.toPrecision(6)));
  const exponent = Math.round(Math.log10(size));
  const raised = String(exponent).replace(/[-0-9]/g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
  return `${sign}10${raised}`;
}

/** Marks of a logarithmic axis: powers of ten, with 2 and 5 between them where there are few. */
function logTicks(low, high) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  const steps = last - first <= 3 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil((last - first) / 9));
  const ticks = [];
  for (let power = first; power <= last; power += every) {
    for (const step of steps) {
      const value = Number(`${step}e${power}`);
      if (value >= low && value <= high) ticks.push(value);
    }
  }
  return ticks.length > 2 ? ticks : d3.ticks(low, high, 6);
}

/** Marks of an axis that is linear within ±constant and logarithmic beyond. */
function symlogTicks(low, high, constant) {
  const first = Math.round(Math.log10(constant));
  const last = Math.floor(Math.log10(Math.max(Math.abs(low), Math.abs(high), constant)) + 1e-9);
  const every = Math.max(1, Math.ceil((last - first) / 8));
  const ticks = [0];
  // The mark at ±constant itself would touch that at 0.
  for (let power = first + 1; power <= last; power += every) {
    for (const sign of [1, -1]) {
      const value = sign * Number(`1e${power}`);
      if (value >= low && value <= high) ticks.push(value);
    }
  }
  return ticks.sort((a, b) => a - b);
}

/** A range on a logarithmic axis with room at both ends. */
function roomy(values, share = 0.06) {
  let low = Math.min(...values), high = Math.max(...values);
  if (!(low < high)) { low /= 2; high *= 2; }
  const room = Math.pow(high / low, share);
  return [low / room, high * room];
}

/** The points of a front through which its line goes, cheapest first: chance may have put the others in order. */
function lowest(points) {
  let least = Infinity;
  return [...points].sort((a, b) => a.x - b.x || a.y - b.y).filter((p) => p.y < least && ((least = p.y), true));
}

/** Microseconds of encode and decode for a token over all links; null if a link was not timed. */
function codecTime(cell) {
  let total = 0;
  for (const link of cell.links) {
    if (link.encode_us === null || link.decode_us === null) return null;
    total += link.encode_us + link.decode_us;
  }
  return total;
}

/** Bytes of a token over all links. */
function allBytes(cell) {
  return cell.links.reduce((sum, link) => sum + (link.bytes_per_token ?? 0), 0);
}

/**
 * Milliseconds of a token over all links in turn: encode, transfer, half a round trip shared by the
 * tokens of a message, decode; with the model's time if asked.
 */
function timePerToken(cell, mbit, rttMs, tokens, compute) {
  const codec = codecTime(cell);
  if (codec === null || cell.links.length === 0) return null;
  const transfer = (8 * allBytes(cell)) / (mbit * 1e3);
  const latency = (cell.links.length * rttMs) / 2 / tokens;
  return codec / 1e3 + transfer + latency + (compute ? (cell.model_us ?? 0) / 1e3 : 0);
}

/** The bandwidth in Mbit/s below which a cell is faster than the baseline; null if it saves nothing. */
function breakEven(cell, baseline) {
  const saved = allBytes(baseline) - allBytes(cell);
  const spent = codecTime(cell) - codecTime(baseline);
  if (saved <= 0) return null;
  return spent <= 0 ? Infinity : (8 * saved) / spent;
}

/** Whether a cell passes the filters. */
function passes(cell, filters) {
  if (cell.group !== filters.group) return false;
  if (filters.families.size && !filters.families.has(cell.family)) return false;
  const words = filters.query.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${cell.label} ${cell.family} ${cell.status}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** Sorts what is missing last, whichever way. */
function compareKeys(a, b, direction) {
  const missing = (value) => value === null || value === "" || Number.isNaN(value);
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  if (typeof a === "number") return direction * (a - b);
  return direction * a.localeCompare(b, "en", { numeric: true });
}

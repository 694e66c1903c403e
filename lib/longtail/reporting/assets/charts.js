// Charts as SVG: axes, lines over epochs, points.
const DASHES = { train: "6 4", medium: "6 4", "best expert": "2 3", few: "2 3" }; // other lines are solid
const WIDTH = 560, HEIGHT = 280, LEFT = 52, RIGHT = 10, TOP = 10, BOTTOM = 36;

function ticks(low, high, number = 5) {
  const raw = (high - low) / number || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const factor of high / low < 30 ? [1, 2, 5] : [1]) found.push(factor * 10 ** power);
  const inside = found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  const every = Math.ceil(inside.length / 7);
  return inside.filter((_, index) => index % every === 0);
}

// A scale maps values to pixels; {low, high, log, ticks, at}.
function scale(values, from, to, { log = false, low = null, high = null, pad = 0 } = {}) {
  let bottom = low ?? Math.min(...values), top = high ?? Math.max(...values);
  if (bottom === top) log ? ((bottom /= 2), (top *= 2)) : ((bottom -= 0.5), (top += 0.5));
  if (pad && !log) {
    const margin = pad * (top - bottom);
    if (low === null) bottom -= margin;
    if (high === null) top += margin;
  }
  const place = log ? Math.log10 : (value) => value;
  const at = (value) => from + ((place(value) - place(bottom)) / (place(top) - place(bottom))) * (to - from);
  return { low: bottom, high: top, log, at, ticks: log ? logTicks(bottom, top) : ticks(bottom, top) };
}

function axes(x, y, { xLabel, yLabel, yText = short, xText = short }) {
  const layer = shape("g");
  for (const value of y.ticks) {
    const height = y.at(value);
    layer.append(shape("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: height, y2: height }));
    layer.append(shape("text", { x: LEFT - 6, y: height + 4, "text-anchor": "end" }, yText(value)));
  }
  for (const value of x.ticks)
    layer.append(shape("text", { x: x.at(value), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, xText(value)));
  layer.append(shape("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, xLabel));
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  layer.append(shape("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, yLabel));
  return layer;
}

const canvasOfChart = (label) => shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });

// One value far above the others would flatten them all: then the axis is logarithmic.
function needsLog(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[0] > 0 && sorted[sorted.length - 1] > 20 * sorted[Math.floor(sorted.length / 2)];
}

// lines: [{name, color, dash, points: [[epoch, value], ...]}]
function lineChart(title, lines, { fraction = false } = {}) {
  const points = lines.flatMap((line) => line.points);
  const values = points.map((point) => point[1]);
  const log = !fraction && needsLog(values);
  const x = scale(points.map((point) => point[0]), LEFT, WIDTH - RIGHT, { pad: 0.02 });
  x.ticks = x.ticks.filter(Number.isInteger);
  const y = scale(values, HEIGHT - BOTTOM, TOP, { log, pad: 0.05, low: !log && Math.min(...values) >= 0 ? 0 : null });
  const text = fraction ? (value) => percent(value, 0) : short;
  const chart = canvasOfChart(title);
  chart.append(axes(x, y, { xLabel: "epoch", yLabel: fraction ? "%" : log ? "log scale" : "", yText: text }));
  for (const line of lines) {
    const path = line.points.map(([epoch, value], i) => `${i ? "L" : "M"}${x.at(epoch).toFixed(1)} ${y.at(value).toFixed(1)}`);
    chart.append(shape("path", { class: "line", d: path.join(""), stroke: line.color, "stroke-dasharray": line.dash }));
    if (line.points.length < 20)
      for (const [epoch, value] of line.points) chart.append(shape("circle", { cx: x.at(epoch), cy: y.at(value), r: 2.5, fill: line.color }));
  }
  return element("div", { class: "panel" }, element("h3", {}, title), chart, hoverLegend(chart, lines, x, fraction ? percent : short));
}

function swatch(line) {
  const drawn = { class: "line", x1: 0, x2: 24, y1: 2, y2: 2, stroke: line.color, "stroke-dasharray": line.dash };
  return shape("svg", { class: "swatch", viewBox: "0 0 24 4" }, shape("line", drawn));
}

// The legend shows the last values, or those of the epoch under the pointer.
function hoverLegend(chart, lines, x, text) {
  const entries = lines.map((line) => element("span", {}));
  const cursor = shape("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const when = element("span", {});
  const epochs = [...new Set(lines.flatMap((line) => line.points.map((point) => point[0])))].sort((a, b) => a - b);
  function show(epoch) {
    when.textContent = epoch === null ? "" : `epoch ${epoch}`;
    lines.forEach((line, i) => {
      const point = epoch === null ? line.points[line.points.length - 1] : line.points.find((p) => p[0] === epoch);
      entries[i].replaceChildren(swatch(line), `${line.name} ${point ? text(point[1]) : "–"}`);
    });
  }
  chart.append(cursor);
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const wanted = ((event.clientX - box.left) / box.width) * WIDTH;
    const epoch = epochs.reduce((best, e) => (Math.abs(x.at(e) - wanted) < Math.abs(x.at(best) - wanted) ? e : best));
    fill(cursor, { x1: x.at(epoch), x2: x.at(epoch), visibility: "visible" }, []);
    show(epoch);
  });
  chart.addEventListener("pointerleave", () => (cursor.setAttribute("visibility", "hidden"), show(null)));
  show(null);
  return element("div", { class: "legend" }, ...entries, when);
}

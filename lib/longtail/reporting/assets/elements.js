// Elements and texts. Strings become text nodes, so that no name is ever read as HTML.
const SVG = "http://www.w3.org/2000/svg";
const GROUPS = ["many", "medium", "few"];
const COLORS = ["#3477c9", "#d1603d", "#2f9e77", "#9a62c7", "#c79a1b", "#c24d86", "#5b8c9c", "#8a6d4f"];
const color = (index) => COLORS[index % COLORS.length];

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name === "style") Object.assign(node.style, value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const shape = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const exists = (value) => value !== null && value !== undefined;
const percent = (value, digits = 1) => (exists(value) ? (100 * value).toFixed(digits) : "–");
const whole = (value) => (exists(value) ? value.toLocaleString("en-US") : "–");
const cut = (text, length = 40) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
// Names of related classes often differ at their ends.
const cutMiddle = (text, length) => (text.length > length ? `${text.slice(0, length / 2)}…${text.slice(1 - length / 2)}` : text);

function short(value) {
  if (!exists(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(4)));
}

function className(run, id) {
  const names = run.classes.name;
  return names && names[id] ? names[id] : `class ${id}`;
}

// A section of a run, or the sentence that says why it is missing.
const missing = (content) => element("p", { class: "missing" }, content.missing);
const heading = (run, index) =>
  element("h3", {}, element("span", { class: "dot", style: { background: color(index) } }), run.name);

function table(head, rows, attributes = {}) {
  const cells = (tag, row) => row.map((cell) => (cell instanceof Element ? cell : element(tag, {}, cell)));
  const body = rows.map((row) => (row instanceof Element ? row : element("tr", {}, ...cells("td", row))));
  const top = head ? element("thead", {}, element("tr", {}, ...cells("th", head))) : null;
  return element("div", { class: "scroll" }, element("table", attributes, top, element("tbody", {}, ...body)));
}

const numberCell = (text, tag = "td") => element(tag, { class: "number" }, text);
const nameCell = (text) => element("td", { class: "name", title: text }, cut(text, 60));

// The confusion matrix on a canvas. Only cells that are not zero are stored and drawn; a cell is never smaller than a dot.
const LABELS = 130, BELOW = 8, DOT = 1.6;

function orders(run) {
  const classes = run.classes, ids = classes.group.map((_, id) => id);
  const by = (value) => [...ids].sort((a, b) => value(b) - value(a) || a - b);
  return {
    "class size": by((id) => classes.train[id] ?? -1),
    "class number": ids,
    "accuracy per class": by((id) => classes.recall[id] ?? -1),
  };
}

class Matrix {
  constructor(run) {
    this.run = run;
    this.size = run.confusion.size;
    this.canvas = element("canvas", { tabindex: 0, role: "img", "aria-label": "confusion matrix" });
    this.readout = element("div", { class: "readout faint" });
    this.support = new Array(this.size).fill(0);
    run.confusion.true.forEach((t, i) => (this.support[t] += run.confusion.count[i]));
    // Larger fractions are drawn over smaller ones.
    this.cells = run.confusion.true
      .map((t, i) => ({ t, p: run.confusion.predicted[i], count: run.confusion.count[i], part: run.confusion.count[i] / this.support[t] }))
      .sort((a, b) => a.part - b.part);
    this.at = new Map(this.cells.map((cell) => [cell.t * this.size + cell.p, cell]));
    this.orders = orders(run);
    this.listen();
    this.reorder("class size");
  }

  reorder(name) {
    this.order = this.orders[name];
    this.byGroup = name === "class size";
    this.rank = new Array(this.size);
    this.order.forEach((id, place) => (this.rank[id] = place));
    this.look(0, 0, this.size);
  }

  // Show `span` x `span` cells from row and column on.
  look(column, row, span) {
    this.span = Math.min(Math.max(span, Math.min(4, this.size)), this.size);
    const limit = (value) => Math.min(Math.max(value, 0), this.size - this.span);
    [this.column, this.row] = [limit(column), limit(row)];
    this.draw();
  }

  zoom(factor, x = 0.5, y = 0.5) {
    const span = Math.min(Math.max(this.span * factor, Math.min(4, this.size)), this.size);
    this.look(this.column + x * (this.span - span), this.row + y * (this.span - span), span);
  }

  focus(t, p) {
    const span = Math.min(this.size, 12);
    this.look(this.rank[p] - Math.floor(span / 2), this.rank[t] - Math.floor(span / 2), span);
    this.show(this.at.get(t * this.size + p));
  }

  draw() {
    const canvas = this.canvas, ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth || 560;
    this.side = width - LABELS - 2;
    canvas.style.height = `${width}px`;
    [canvas.width, canvas.height] = [width * ratio, width * ratio];
    const c = canvas.getContext("2d");
    c.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement), look = (name) => style.getPropertyValue(name);
    this.dark = matchMedia("(prefers-color-scheme: dark)").matches;
    this.pixel = this.side / this.span;
    c.save();
    c.beginPath();
    c.rect(LABELS, LABELS, this.side, this.side);
    c.fillStyle = this.dark ? "#101216" : "#ffffff";
    c.fill();
    c.clip();
    for (const cell of this.cells) this.drawCell(c, cell);
    this.drawGroups(c);
    c.restore();
    c.strokeStyle = this.dark ? "#555" : "#aaa";
    c.strokeRect(LABELS - 0.5, LABELS - 0.5, this.side + 1, this.side + 1);
    this.drawLabels(c);
    Object.assign(canvas.dataset, { shown: Math.round(this.span), column: Math.round(this.column), row: Math.round(this.row) });
  }

  drawCell(c, cell) {
    const x = LABELS + (this.rank[cell.p] - this.column) * this.pixel, y = LABELS + (this.rank[cell.t] - this.row) * this.pixel;
    const side = Math.max(this.pixel, DOT);
    if (x + side < LABELS || y + side < LABELS || x > LABELS + this.side || y > LABELS + this.side) return;
    const strength = Math.sqrt(cell.part), [hue, full] = cell.t === cell.p ? [212, 75] : [14, 85];
    const lightness = this.dark ? 12 + 50 * strength : 96 - 56 * strength;
    c.fillStyle = `hsl(${hue} ${full}% ${lightness}%)`;
    c.fillRect(x, y, side, side);
    if (this.pixel < 24) return;
    c.fillStyle = this.dark || strength > 0.55 ? "#fff" : "#222";
    c.font = "12px system-ui, sans-serif";
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.fillText(String(cell.count), x + side / 2, y + side / 2);
  }

  // Lines between shot groups.
  drawGroups(c) {
    this.borders = [];
    if (!this.byGroup) return;
    const group = (place) => this.run.classes.group[this.order[place]];
    for (let place = 1; place < this.size; place++) if (group(place) !== group(place - 1)) this.borders.push(place);
    c.strokeStyle = this.dark ? "#888" : "#777";
    c.setLineDash([4, 3]);
    for (const place of this.borders) {
      const [x, y] = [LABELS + (place - this.column) * this.pixel, LABELS + (place - this.row) * this.pixel];
      c.beginPath();
      c.moveTo(x, LABELS); c.lineTo(x, LABELS + this.side);
      c.moveTo(LABELS, y); c.lineTo(LABELS + this.side, y);
      c.stroke();
    }
    c.setLineDash([]);
  }

  drawLabels(c) {
    c.font = "12px system-ui, sans-serif";
    c.fillStyle = this.dark ? "#b8bfc9" : "#444";
    c.textBaseline = "middle";
    const every = Math.max(1, Math.ceil(13 / this.pixel)), names = this.pixel >= 10;
    const label = (place) => cutMiddle(className(this.run, this.order[place]), 18);
    const visible = (from) => Array.from({ length: Math.ceil(this.span) + 1 }, (_, i) => Math.floor(from) + i);
    const inside = (place, from) => place >= 0 && place < this.size && place + 0.5 >= from && place + 0.5 <= from + this.span;
    if (names) {
      for (const place of visible(this.row).filter((p) => inside(p, this.row) && p % every === 0)) {
        c.textAlign = "right";
        c.fillText(label(place), LABELS - 6, LABELS + (place + 0.5 - this.row) * this.pixel, LABELS - 10);
      }
      for (const place of visible(this.column).filter((p) => inside(p, this.column) && p % every === 0)) {
        c.save();
        c.translate(LABELS + (place + 0.5 - this.column) * this.pixel, LABELS - 6);
        c.rotate(-Math.PI / 2);
        c.textAlign = "left";
        c.fillText(label(place), 0, 0, LABELS - 10);
        c.restore();
      }
    } else this.drawRanks(c);
    c.fillStyle = this.dark ? "#8a93a0" : "#777";
    c.textAlign = "left";
    c.fillText("predicted →", 6, 14);
    c.fillText("true ↓", 6, 30);
  }

  // Names of shot groups where there is no room for those of classes.
  drawRanks(c) {
    const ends = [0, ...(this.byGroup ? this.borders : []), this.size];
    for (let i = 0; i + 1 < ends.length; i++) {
      const [from, to] = [ends[i], ends[i + 1]].map((end) => Math.max(0, Math.min(end - this.row, this.span)) * this.pixel);
      const [left, right] = [ends[i], ends[i + 1]].map((end) => Math.max(0, Math.min(end - this.column, this.span)) * this.pixel);
      const text = this.byGroup ? `${this.run.classes.group[this.order[ends[i]]]} (${whole(ends[i + 1] - ends[i])})` : `${whole(this.size)} classes`;
      c.textAlign = "right";
      if (to - from > 14) c.fillText(text, LABELS - 8, LABELS + (from + to) / 2, LABELS - 12);
      c.textAlign = "center";
      if (right - left > 50) c.fillText(text, LABELS + (left + right) / 2, LABELS - 10);
    }
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left - LABELS) / this.side, (event.clientY - box.top - LABELS) / this.side];
  }

  show(cell, t, p) {
    if (!cell && t === undefined) return this.readout.replaceChildren("Hover over a cell to see its values.");
    [t, p] = cell ? [cell.t, cell.p] : [t, p];
    const size = (id) => `${className(this.run, id)} (${whole(this.run.classes.train[id])} training images)`;
    const count = cell ? `${whole(cell.count)} of ${whole(this.support[t])} images, ${percent(cell.part)} %` : "no images";
    this.readout.replaceChildren(`true: ${size(t)} · predicted: ${size(p)} · ${count}`);
  }

  listen() {
    const canvas = this.canvas;
    let from = null;
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas && !event.ctrlKey) return; // the page scrolls
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, ...this.place(event));
    }, { passive: false });
    canvas.addEventListener("dblclick", (event) => this.zoom(0.4, ...this.place(event)));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      from = { at: this.place(event), column: this.column, row: this.row };
    });
    canvas.addEventListener("pointerup", () => (from = null));
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = this.place(event);
      if (from) return this.look(from.column - (x - from.at[0]) * this.span, from.row - (y - from.at[1]) * this.span, this.span);
      if (x < 0 || y < 0 || x >= 1 || y >= 1) return this.show(null);
      const t = this.order[Math.floor(this.row + y * this.span)], p = this.order[Math.floor(this.column + x * this.span)];
      return this.show(this.near(x, y) ?? this.at.get(t * this.size + p), t, p);
    });
    canvas.addEventListener("keydown", (event) => {
      const step = this.span / 5, moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (event.key === "+" || event.key === "=") this.zoom(0.7);
      else if (event.key === "-") this.zoom(1.4);
      else if (event.key === "Escape") this.look(0, 0, this.size);
      else if (moves[event.key]) this.look(this.column + moves[event.key][0], this.row + moves[event.key][1], this.span);
      else return;
      event.preventDefault();
    });
    new ResizeObserver(() => canvas.clientWidth - LABELS - 2 !== this.side && this.draw()).observe(canvas);
  }

  // The strongest cell whose dot covers a point where cells are smaller than dots.
  near(x, y) {
    if (this.pixel >= DOT) return null;
    const reach = Math.ceil(DOT / this.pixel);
    let best = null;
    for (let i = 0; i < reach; i++)
      for (let j = 0; j < reach; j++) {
        const t = this.order[Math.floor(this.row + y * this.span) - i], p = this.order[Math.floor(this.column + x * this.span) - j];
        const cell = t === undefined || p === undefined ? undefined : this.at.get(t * this.size + p);
        if (cell && (!best || cell.part > best.part)) best = cell;
      }
    return best;
  }
}

function matrixPanel(run, index, matrices) {
  const panel = element("div", { class: "panel" }, heading(run, index));
  if (run.confusion.missing) return panel.append(missing(run.confusion)), panel;
  if (run.classes.missing) return panel.append(missing(run.classes)), panel;
  const matrix = (matrices[index] = new Matrix(run));
  const button = (text, click) => element("button", { class: "plain", type: "button", click }, text);
  const order = element("select", { "aria-label": "order of the classes", change: () => matrix.reorder(order.value) },
    ...Object.keys(matrix.orders).map((name) => element("option", { value: name }, `by ${name}`)));
  panel.append(
    element("div", { class: "controls" }, button("Zoom in", () => matrix.zoom(0.5)), button("Zoom out", () => matrix.zoom(2)), button("Whole", () => matrix.look(0, 0, matrix.size)), order),
    matrix.canvas, matrix.readout);
  matrix.show(null);
  return panel;
}

// The table of classes: sorted by any column, filtered by name, a part of the rows at a time.
const ROWS = 100;

function classColumns(runs) {
  const first = runs[0].classes;
  const columns = [
    { title: "class", value: (id) => id, number: true },
    { title: "name", value: (id) => className(runs[0], id), cell: (id) => nameCell(className(runs[0], id)) },
    { title: "group", value: (id) => GROUPS.indexOf(first.group[id]), cell: (id) => element("td", { class: first.group[id] }, first.group[id]) },
    { title: "training images", value: (id) => first.train[id], number: true },
    { title: "validation images", value: (id) => first.test[id], number: true },
  ];
  runs.forEach((run, index) => {
    const of = runs.length > 1 ? ` (${index + 1})` : "";
    columns.push({ title: `accuracy %${of}`, value: (id) => run.classes.recall[id], cell: (id) => barCell(run.classes.recall[id], index) });
    columns.push({ title: `precision %${of}`, value: (id) => run.classes.precision[id], cell: (id) => numberCell(percent(run.classes.precision[id])) });
  });
  if (runs.length === 2) {
    const change = (id) => {
      const [before, after] = runs.map((run) => run.classes.recall[id]);
      return exists(before) && exists(after) ? after - before : null;
    };
    const sign = (value) => (exists(value) && value > 0 ? "+" : "");
    columns.push({ title: "accuracy (2) - (1)", value: change, cell: (id) => numberCell(sign(change(id)) + percent(change(id))) });
  }
  return columns;
}

function barCell(value, index) {
  const bar = element("span", { class: "bar", style: { width: `${52 * (value ?? 0)}px`, background: color(index) } });
  return numberCell(percent(value)).appendChild(element("span", { class: "track" }, bar)).parentNode;
}

// Classes with equal values keep their order; those without a value come last in both directions.
function sorted(ids, column, descending) {
  const value = (id) => column.value(id);
  return [...ids].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (!exists(x) || !exists(y)) return exists(y) - exists(x);
    const order = typeof x === "string" ? x.localeCompare(y) : x - y;
    return descending ? -order : order;
  });
}

function classTable(runs) {
  const columns = classColumns(runs);
  const state = { column: 3, descending: true, rows: ROWS, word: "" };
  const body = element("tbody"), count = element("span", { class: "faint" });
  const more = element("button", { class: "plain", type: "button", click: () => ((state.rows += 5 * ROWS), draw()) }, "Show more");
  const all = runs[0].classes.group.map((_, id) => id);
  const heads = columns.map((column, i) => {
    const sort = () => {
      state.descending = state.column === i ? !state.descending : Boolean(column.number || column.title.includes("%"));
      state.column = i;
      draw();
    };
    const tag = column.number || column.title.includes("accuracy") || column.title.includes("precision") ? "number" : null;
    return element("th", { class: tag, scope: "col" }, element("button", { type: "button", click: sort }, column.title));
  });
  const filter = element("input", { type: "search", placeholder: "find a class", "aria-label": "find a class", input: () => ((state.word = filter.value.toLowerCase()), draw()) });
  function draw() {
    heads.forEach((head, i) => {
      head.setAttribute("aria-sort", i !== state.column ? "none" : state.descending ? "descending" : "ascending");
      head.firstChild.textContent = columns[i].title + (i !== state.column ? "" : state.descending ? " ↓" : " ↑");
    });
    const found = all.filter((id) => !state.word || className(runs[0], id).toLowerCase().includes(state.word));
    const shown = sorted(found, columns[state.column], state.descending).slice(0, state.rows);
    body.replaceChildren(...shown.map((id) => element("tr", {}, ...columns.map((c) => (c.cell ? c.cell(id) : numberCell(whole(c.value(id))))))));
    count.textContent = `${whole(shown.length)} of ${whole(found.length)} classes`;
    more.hidden = shown.length === found.length;
  }
  draw();
  const head = element("thead", {}, element("tr", {}, ...heads));
  return element("div", {}, element("div", { class: "controls" }, filter, count), element("div", { class: "scroll" }, element("table", { id: "class-table" }, head, body)), more);
}

// Accuracy per class over the number of training images, with the mean of each shot group.
function sizeChart(runs) {
  const chart = canvasOfChart("Accuracy per class over training images of the class");
  const sizes = runs.flatMap((run) => run.classes.train.filter(exists)).map((size) => Math.max(size, 0.7));
  const log = Math.max(...sizes) > 10 * Math.min(...sizes);
  const x = scale(sizes, LEFT, WIDTH - RIGHT, { log, pad: 0.03 });
  const y = scale([0, 1], HEIGHT - BOTTOM, TOP);
  chart.append(axes(x, y, { xLabel: `training images of the class${log ? " (log scale)" : ""}`, yLabel: "accuracy per class %", yText: (v) => percent(v, 0), xText: whole }));
  runs.forEach((run, index) => {
    const classes = run.classes;
    const radius = classes.group.length > 1000 ? 1.6 : classes.group.length > 100 ? 2.5 : 4;
    classes.recall.forEach((recall, id) => {
      if (!exists(recall) || !exists(classes.train[id])) return;
      const place = { cx: x.at(Math.max(classes.train[id], 0.7)).toFixed(1), cy: y.at(recall).toFixed(1), r: radius };
      const paint = runs.length > 1 ? color(index) : `var(--${classes.group[id] || "accent"})`;
      const text = `${className(run, id)}: ${percent(recall)} % of ${whole(classes.test[id])} validation images, ${whole(classes.train[id])} training images`;
      chart.append(shape("circle", { ...place, fill: paint, "fill-opacity": 0.55 }, shape("title", {}, text)));
    });
    for (const group of GROUPS) chart.append(...groupMean(run, group, x, y, runs.length > 1 ? color(index) : `var(--${group})`));
  });
  return chart;
}

function groupMean(run, group, x, y, paint) {
  const classes = run.classes;
  const ids = classes.group.map((_, id) => id).filter((id) => classes.group[id] === group && exists(classes.recall[id]));
  if (!ids.length) return [];
  const mean = ids.reduce((sum, id) => sum + classes.recall[id], 0) / ids.length;
  const sizes = ids.map((id) => Math.max(classes.train[id], 0.7));
  const ends = [x.at(Math.min(...sizes)) - 4, x.at(Math.max(...sizes)) + 4];
  const line = (width, stroke) => shape("line", { x1: ends[0], x2: ends[1], y1: y.at(mean), y2: y.at(mean), stroke, "stroke-width": width });
  return [line(5, "var(--panel)"), line(2.5, paint)];
}

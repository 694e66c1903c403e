// Sections of the report; each takes all runs and returns elements.
const MAIN = ["top1", "many", "medium", "few", "balanced_accuracy", "macro_f1", "worst_class", "ece", "nll", "top5"];

const metricText = (name, value) => (/^nll/.test(name) ? (exists(value) ? value.toFixed(4) : "–") : percent(value, 2));

function columnsOf(runs) {
  return runs.flatMap((run, index) => run.metrics.map((entry) => ({ ...entry, index })));
}

function metricTable(runs, names) {
  const columns = columnsOf(runs);
  const changed = (entry) => (entry.changed?.length ? ` with ${entry.changed.map((text) => cut(text)).join(", ")}` : "") + (entry.chosen ? `; ${entry.chosen} was chosen on these images` : "");
  const title = (entry) => `${entry.of}${exists(entry.epoch) ? ` ${entry.epoch}` : ""}${entry.checkpoint ? ` of ${entry.checkpoint}` : ""}${changed(entry)}`;
  const over = element("tr", {}, element("th"), ...runs.map((run, index) => element("th", { colspan: run.metrics.length || 1, scope: "colgroup" },
    element("span", { class: "dot", style: { background: color(index) } }), runs.length > 1 ? `(${index + 1}) ${run.name}` : run.name)));
  const head = element("tr", {}, element("th", {}, "%"), ...columns.map((entry) => numberCell(title(entry), "th")));
  const rows = names.map((name) => element("tr", {}, element("th", { scope: "row", class: name }, name.replaceAll("_", " ")),
    ...columns.map((entry) => numberCell(metricText(name, entry.values[name])))));
  return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, over, head), element("tbody", {}, ...rows)));
}

function summarySection(runs) {
  const found = new Set(columnsOf(runs).flatMap((entry) => Object.keys(entry.values)));
  if (!found.size) return [element("p", { class: "missing" }, "results.json contains no accuracies; the run is not finished.")];
  const rest = [...found].filter((name) => !MAIN.includes(name));
  const parts = [metricTable(runs, MAIN.filter((name) => found.has(name)))];
  if (rest.length) parts.push(element("details", {}, element("summary", {}, "More metrics"), metricTable(runs, rest)));
  parts.push(element("p", { class: "faint" }, "The best epoch was chosen on the evaluated images, which overstates its accuracy; the last epoch was not chosen."));
  parts.push(compared(runs, (run) => run.facts, (name, value) => (typeof value === "number" ? whole(value) : String(value))));
  return parts;
}

// Rows of names, a column per run; rows in which runs differ are marked.
function compared(runs, values, text = (_, value) => String(value), absent = "–") {
  const names = [...new Set(runs.flatMap((run) => Object.keys(values(run))))];
  const rows = names.map((name) => {
    const texts = runs.map((run) => (name in values(run) ? text(name, values(run)[name]) : absent));
    const differs = new Set(texts).size > 1 ? "differs" : null;
    return element("tr", { class: differs }, element("th", { scope: "row" }, name), ...texts.map((t) => element("td", { class: "text" }, t)));
  });
  return table(["", ...runs.map((run, i) => (runs.length > 1 ? `(${i + 1}) ${run.name}` : "value"))], rows);
}

function curveSection(runs) {
  const drawn = runs.filter((run) => !run.curves.missing);
  const parts = runs.filter((run) => run.curves.missing).map((run) => missing(run.curves));
  const charts = [...new Set(drawn.flatMap((run) => Object.keys(run.curves)))];
  const panels = charts.flatMap((chart) => {
    const lines = runs.flatMap((run, index) => run.curves.missing ? [] : Object.entries(run.curves[chart] ?? {}).map(([name, points], i) => ({
      name: runs.length > 1 ? `(${index + 1}) ${name}` : name, points,
      color: runs.length > 1 ? color(index) : GROUPS.includes(name) ? `var(--${name})` : name === "train" ? "var(--faint)" : color(i),
      dash: DASHES[name],
    })));
    return lines.length ? [lineChart(chart, lines, { fraction: /accuracy/i.test(chart) })] : [];
  });
  return [...parts, element("div", { class: "panels" }, ...panels)];
}

// Runs whose tables are of the same classes as the first run's that has a table.
function comparableRuns(runs) {
  const found = runs.filter((run) => !run.classes.missing);
  const same = found.filter((run) => run.classes.group.length === found[0].classes.group.length);
  const notes = runs.filter((run) => run.classes.missing).map((run) => missing(run.classes));
  if (same.length < found.length) notes.push(element("p", { class: "missing" }, "Runs with other numbers of classes are omitted."));
  return [same, notes];
}

function sizeSection(runs) {
  const [found, notes] = comparableRuns(runs);
  if (!found.length) return notes;
  const lines = found.length > 1 ? found.map((run, i) => ({ name: run.name, color: color(i) })) : GROUPS.map((name) => ({ name, color: `var(--${name})` }));
  const legend = element("div", { class: "legend" }, ...lines.map((line) => element("span", {}, swatch(line), line.name)));
  return [...notes, element("div", { class: "panel" }, sizeChart(found), legend, element("p", { class: "faint" }, "A dot is a class; a line is the mean of a shot group over its classes."))];
}

function classSection(runs) {
  const [found, notes] = comparableRuns(runs);
  return found.length ? [...notes, classTable(found)] : notes;
}

const matrices = [];

function matrixSection(runs) {
  const hint = "Blue: correct. Red: wrong. The color shows the fraction of the true class. Click the matrix and scroll to zoom, or use + and -; drag or use the arrow keys to pan; a double click zooms in; Esc shows all.";
  return [element("p", { class: "faint" }, hint), element("div", { class: "panels" }, ...runs.map((run, index) => matrixPanel(run, index, matrices)))];
}

function pairSection(runs) {
  const panels = runs.map((run, index) => {
    const panel = element("div", { class: "panel" }, heading(run, index));
    if (run.pairs.missing) return panel.append(missing(run.pairs)), panel;
    if (!run.pairs.length) return panel.append(element("p", {}, "No pair of classes was confused in more than one image.")), panel;
    const test = (id) => (run.classes.missing ? null : run.classes.test[id]);
    const rows = run.pairs.map(([t, p, count]) => {
      const look = () => matrices[index] && (matrices[index].focus(t, p), matrices[index].canvas.scrollIntoView({ block: "center" }));
      return [nameCell(className(run, t)), nameCell(className(run, p)), numberCell(whole(count)), numberCell(percent(test(t) ? count / test(t) : null)),
        element("td", {}, element("button", { class: "plain", type: "button", click: look }, "show"))];
    });
    panel.append(table(["true class", "predicted class", numberCell("images", "th"), numberCell("% of class", "th"), ""], rows, { class: "pairs" }));
    return panel;
  });
  return [element("div", { class: "panels" }, ...panels)];
}

function reliabilitySection(runs) {
  const panels = runs.map((run, index) => {
    const panel = element("div", { class: "panel" }, heading(run, index));
    if (run.reliability.missing) return panel.append(missing(run.reliability)), panel;
    const { bins, error, confidence, accuracy } = run.reliability;
    const chart = canvasOfChart("Reliability diagram"), most = Math.max(...bins.map((bin) => bin.samples));
    const x = scale([0, 1], LEFT, WIDTH - RIGHT), y = scale([0, 1], HEIGHT - BOTTOM, TOP);
    chart.append(axes(x, y, { xLabel: "confidence %", yLabel: "accuracy %", yText: (v) => percent(v, 0), xText: (v) => percent(v, 0) }));
    bins.forEach((bin, i) => {
      if (!bin.samples) return;
      const box = { x: x.at(i / bins.length) + 1, width: x.at(1 / bins.length) - LEFT - 2 };
      const text = `${whole(bin.samples)} images: accuracy ${percent(bin.accuracy)} %, confidence ${percent(bin.confidence)} %`;
      const opacity = 0.25 + 0.75 * Math.sqrt(bin.samples / most);
      chart.append(shape("rect", { ...box, y: y.at(bin.accuracy), height: y.at(0) - y.at(bin.accuracy), fill: color(index), "fill-opacity": opacity }, shape("title", {}, text)));
    });
    chart.append(shape("line", { class: "cursor", x1: x.at(0), y1: y.at(0), x2: x.at(1), y2: y.at(1) }));
    panel.append(chart, element("p", {}, `Expected calibration error ${percent(error, 2)} %; mean confidence ${percent(confidence)} %, accuracy ${percent(accuracy)} %.`),
      element("p", { class: "faint" }, "Bars below the diagonal: overconfident. Pale bars contain few images."));
    return panel;
  });
  return [element("div", { class: "panels" }, ...panels)];
}

function expertSection(runs) {
  const panels = runs.flatMap((run, index) => {
    if (!run.experts) return [];
    const panel = element("div", { class: "panel" }, heading(run, index));
    if (run.experts.missing) return panel.append(missing(run.experts)), panel;
    const { agreement, rows } = run.experts, numbers = agreement.map((_, i) => i + 1);
    const head = ["%", ...numbers.map((n) => `expert ${n}`), "ensemble", "any right", "all right", "agree"];
    const values = (row) => [...row.experts, row.ensemble, row.any, row.every, row.agree];
    panel.append(table(head.map((text) => numberCell(text, "th")), rows.map((row) => element("tr", {},
      element("th", { scope: "row", class: row.of }, `${row.of} (${whole(row.samples)})`), ...values(row).map((value) => numberCell(percent(value)))))));
    panel.append(element("h3", {}, "Equal predictions, % of images"), table(["", ...numbers.map((n) => numberCell(`expert ${n}`, "th"))],
      agreement.map((row, i) => [`expert ${i + 1}`, ...row.map((value) => numberCell(percent(value)))])));
    panel.append(element("p", { class: "faint" }, "Any right: at least one expert is right, an upper bound of any selection among them. Agree: mean over the pairs of experts."));
    return panel;
  });
  return panels.length ? [element("div", { class: "panels" }, ...panels)] : [];
}

function mistakeSection(runs) {
  return runs.flatMap((run, index) => {
    const head = heading(run, index);
    if (run.mistakes.missing) return [head, missing(run.mistakes)];
    const { items, wrong, samples, note } = run.mistakes;
    const figures = items.map((item) => {
      const image = item.image ? element("img", { src: item.image, alt: `image ${item.index}`, class: item.image.startsWith("data:image/png") ? "tiny" : null, title: item.path ?? null }) : null;
      const caption = element("figcaption", {}, element("b", {}, cut(className(run, item.predicted))), ` ${percent(item.confidence, 0)} %`, element("br"),
        `is ${cut(className(run, item.true))} (${percent(item.label_probability)} %)`, element("br"), element("span", { class: "faint" }, cut(item.path ? item.path.split("/").pop() : `image ${item.index}`)));
      return element("figure", {}, image, caption);
    });
    const text = `${whole(wrong)} of ${whole(samples)} images were misclassified; the most confident first.`;
    return [head, element("p", { class: "faint" }, text), note ? element("p", { class: "missing" }, note) : null, element("div", { class: "thumbs" }, ...figures)];
  });
}

function mappingSection(key, absent) {
  return (runs) => {
    const notes = runs.filter((run) => run[key].missing).map((run) => missing(run[key]));
    const values = (run) => (typeof run[key].missing === "string" ? {} : run[key]);
    return notes.length < runs.length ? [...notes, compared(runs, values, undefined, absent)] : notes;
  };
}

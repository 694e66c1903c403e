const SECTIONS = [
  ["summary", "Summary", summarySection],
  ["curves", "Learning curves", curveSection],
  ["sizes", "Accuracy and class size", sizeSection],
  ["classes", "Classes", classSection],
  ["confusion", "Confusion matrix", matrixSection],
  ["pairs", "Most confused pairs", pairSection],
  ["mistakes", "Worst mistakes", mistakeSection],
  ["experts", "Experts", expertSection],
  ["reliability", "Calibration", reliabilitySection],
  ["config", "Config: keys that differ from the defaults", mappingSection("config", "default")],
  ["environment", "Environment", mappingSection("environment", "–")],
];

const { runs } = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("report");
page.append(element("h1", {}, runs.length > 1 ? `${runs.length} runs` : runs[0].name));
for (const run of runs) page.append(element("p", { class: "faint" }, run.path, run.finished ? "" : " (not finished)"));
const nav = element("nav", { "aria-label": "sections" });
page.append(nav);
for (const [id, title, build] of SECTIONS) {
  const section = element("section", { id }, element("h2", {}, title));
  page.append(section); // first, so that what is built has a width
  const parts = build(runs).filter((part) => part !== null);
  if (parts.length) nav.append(element("a", { href: `#${id}` }, title.split(":")[0]));
  else section.remove();
  section.append(...parts);
}
for (const matrix of matrices) if (matrix) matrix.draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => matrices.forEach((matrix) => matrix.draw()));

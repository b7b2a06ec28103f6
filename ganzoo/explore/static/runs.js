// The table of runs, which follows the files on disk.
import { el, listen, number } from "./page.js";

const COLUMNS = ["", "Run", "Architecture", "Data", "Step", "Examples/s", "Alarms", "Figures"];

export function showRuns(root, at, home) {
  const body = el("tbody");
  const table = el("table", { class: "runs" },
    el("thead", {}, el("tr", {}, COLUMNS.map((name) => el("th", { scope: "col" }, name || el("span", { class: "skip" }, "Samples"))))), body);
  const empty = el("p", { class: "quiet" }, "There are no runs here yet. Train one: ", el("code", {}, "ganzoo train cgan --dataset digits"));
  root.append(el("h1", {}, "Runs"), el("p", { class: "quiet small" }, home.folder), el("div", { class: "panel" }, table, empty));
  const rows = new Map();
  function update(runs) {
    empty.hidden = runs.length > 0;
    table.hidden = runs.length === 0;
    // runs in training change all the time: in the order of their names they stay in their places
    const order = [...runs].sort((a, b) => b.training - a.training || (a.training ? a.name.localeCompare(b.name) : b.modified - a.modified));
    const focused = body.contains(document.activeElement) && document.activeElement.getAttribute("href"); // replacing and moving rows takes the focus from their links
    for (const run of order) {
      const text = JSON.stringify(run);
      if (rows.get(run.id)?.text !== text) rows.set(run.id, { text, row: rowOf(run) });
    }
    const shown = order.map((run) => rows.get(run.id).row);
    if (shown.length === body.children.length && shown.every((row, i) => row === body.children[i])) return;
    body.replaceChildren(...shown);
    if (focused) body.querySelector(`a[href="${focused}"]`)?.focus({ preventScroll: true });
  }
  update(home.runs);
  return listen("api/runs", { runs: update });
}

function rowOf(run) {
  const address = `#/training/${run.id}`;
  const name = el("td", {}, el("a", { class: "name", href: address }, run.name), " ",
    run.training ? el("span", { class: "badge live" }, "training") : null);
  if (run.error) return el("tr", {}, el("td", { class: "shot" }), name, el("td", { colspan: COLUMNS.length - 2, class: "quiet small" }, run.error));
  const shot = run.grid === null ? null : el("img", { class: "thumbnail", loading: "lazy", alt: `Samples of ${run.name} at step ${run.grid}`, src: `api/runs/${run.id}/grid/${run.grid}` });
  const step = el("td", { class: "number", "data-label": "step" }, run.step.toLocaleString("en"), run.steps ? ` of ${run.steps.toLocaleString("en")}` : "",
    run.steps && run.training ? el("progress", { value: run.step, max: run.steps, "aria-label": "Share of the steps" }) : null);
  const alarms = run.alarms.length ? el("span", { class: "badge alarm", title: run.alarms.join("\n") }, run.alarms.at(-1)) : null;
  const figures = Object.entries(run.figures).slice(0, 3).map(([key, value]) => `${key.replaceAll("_", " ")} ${number(value)}`).join(" · ");
  return el("tr", {}, el("td", { class: "shot" }, shot), name, el("td", {}, run.architecture), el("td", {}, run.dataset), step,
    el("td", { class: "number", "data-label": "examples/s" }, number(run.rate)), el("td", {}, alarms), el("td", { class: "quiet small" }, figures));
}

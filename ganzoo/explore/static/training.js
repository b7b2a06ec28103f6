// One run: its curves, alarms, and sample grids over time. It follows a run that another process trains.
import { checkboxes } from "./controls.js";
import { charts } from "./curves.js";
import { el, get, newest, number, remember } from "./page.js";
import { divergence, LAYERS, PlaneView, SHOWN_AT_FIRST } from "./plane.js";

const FOLLOW_MS = 2000;

export function showTraining(root, at, home) {
  if (!at.run) {
    root.append(el("p", { class: "quiet" }, "There are no runs here yet."));
    return undefined;
  }
  const choose = el("select", { "aria-label": "Run", onchange: () => { location.hash = `#/training/${choose.value}`; } },
    home.runs.map((run) => el("option", { value: run.id, selected: run.id === at.run }, run.name)));
  const facts = el("p", { class: "quiet small" });
  const image = el("img", { class: "picture", alt: "" });
  const caption = el("figcaption", { "aria-live": "off" });
  const slider = el("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Step of the sample grid" });
  const play = el("button", {}, "Play");
  const alarms = el("ul", { class: "alarms" });
  const alarmPanel = el("section", { class: "panel" }, el("h2", {}, "Alarms"), alarms);
  const figures = el("tbody");
  const figurePanel = el("section", { class: "panel" }, el("h2", {}, "Figures"), el("table", {}, el("thead", {}, el("tr", {}, ["", "this run", "real data"].map((name) => el("th", { scope: "col" }, name)))), figures));
  const settings = el("tbody");
  const settingPanel = el("details", { class: "panel" }, el("summary", {}, "Settings"), el("table", {}, settings));
  const grid = el("div", { class: "charts" });
  const samplesPanel = el("section", { class: "panel" }, el("h2", {}, "Samples over time"), el("figure", {}, image, caption), el("div", { class: "row" }, play, slider));
  samplesPanel.hidden = true;
  // of points: the plane as the newest checkpoint has it
  const layers = new Set((at.parameters.get("layers") ?? SHOWN_AT_FIRST).split(","));
  const canvas = el("canvas", { class: "plane", role: "img", "aria-label": "The plane: real points, generated points and the discriminator's surface" });
  const plane = new PlaneView(canvas, layers);
  const planeCaption = el("p", { class: "small quiet", role: "status" });
  const planePanel = el("section", { class: "panel", hidden: true }, el("h2", {}, "The plane"), canvas, planeCaption,
    checkboxes("Show", LAYERS, layers, () => { remember({ layers: [...layers].join(",") }); plane.request(); }));
  let planeStep = null;
  const showPlane = newest(async () => {
    if (run.checkpoint === planeStep) return;
    const asked = run.checkpoint, found = await get(`api/runs/${at.run}/plane`);
    if (closed) return;
    planeStep = asked;
    planePanel.hidden = false;
    plane.describe(found.plane);
    plane.show(found.picture);
    planeCaption.textContent = [`Checkpoint of step ${found.picture.step.toLocaleString("en")}: blue where D says real, orange where it says generated`, divergence(found.picture)].filter(Boolean).join("; ");
  });
  root.append(el("div", { class: "row spread" }, el("h1", {}, "Training"), choose), facts,
    el("div", { class: "columns" }, samplesPanel, el("div", {}, planePanel, alarmPanel, figurePanel, settingPanel)), el("h2", {}, "Curves"), grid);
  const draw = charts(grid);
  slider.parentElement.style.flexWrap = "nowrap";
  let run = null, text = null, timer = null, film = null, closed = false;

  function show() {
    const step = run.grids[slider.value];
    if (step === undefined) return;
    image.src = `api/runs/${at.run}/grid/${step}`;
    image.alt = `Sample grid at step ${step}`;
    caption.textContent = `Step ${step.toLocaleString("en")}: always the same ${run.inputs ? "inputs" : "noise vectors"}`;
    slider.setAttribute("aria-valuetext", `step ${step}`);
    remember({ step: Number(slider.value) === run.grids.length - 1 ? null : step });
    draw(run.curves, run.alarm_list, step);
  }

  const load = newest(async () => {
    const loaded = await get(`api/runs/${at.run}`), now = JSON.stringify(loaded);
    if (closed || now === text) return; // drawing the same again would take away the selection and the values under the pointer
    [run, text] = [loaded, now];
    update();
  });
  function update() {
    const first = facts.textContent === "", atEnd = first || slider.value === slider.max;
    slider.max = Math.max(run.grids.length - 1, 0);
    const asked = run.grids.indexOf(Number(at.parameters.get("step") ?? -1));
    if (first && asked >= 0) slider.value = asked;
    else if (atEnd) slider.value = slider.max;
    samplesPanel.hidden = run.grids.length === 0;
    facts.textContent = [`${run.architecture} on ${run.dataset}`, `step ${run.step.toLocaleString("en")}${run.steps ? ` of ${run.steps.toLocaleString("en")}` : ""}`,
      run.rate ? `${number(run.rate)} examples/s` : "", run.path].filter(Boolean).join(" · ");
    alarmPanel.hidden = run.alarm_list.length === 0;
    alarms.replaceChildren(...run.alarm_list.map((alarm) => el("li", {}, el("b", {}, `${alarm.name} at step ${alarm.step.toLocaleString("en")}`), el("br"), `${alarm.evidence}. `, el("span", { class: "quiet" }, alarm.remedy))));
    figurePanel.hidden = Object.keys(run.evaluation).length === 0;
    figures.replaceChildren(...Object.entries(run.evaluation).map(([name, figure]) => el("tr", {}, el("th", { scope: "row" }, name.replaceAll("_", " ")), el("td", { class: "number" }, number(figure.value)), el("td", { class: "number quiet" }, number(figure.real)))));
    settings.replaceChildren(...Object.entries(run.settings).map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, String(value)))));
    if (first) settingPanel.open = run.kind === "images" && alarmPanel.hidden && figurePanel.hidden;
    if (run.kind === "points" && run.checkpoint !== null) showPlane();
    if (run.grids.length) show();
    else draw(run.curves, run.alarm_list);
  }
  async function follow() {
    await load();
    if (!closed) timer = setTimeout(follow, FOLLOW_MS * (run && Date.now() / 1000 - run.modified < 60 ? 1 : 5));
  }

  slider.addEventListener("input", show);
  play.addEventListener("click", () => {
    if (film !== null) return stop();
    if (Number(slider.value) >= Number(slider.max)) slider.value = 0;
    play.textContent = "Pause";
    film = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show();
      if (Number(slider.value) >= Number(slider.max)) stop();
    }, 180);
    return undefined;
  });
  function stop() {
    clearInterval(film);
    film = null;
    play.textContent = "Play";
  }
  follow();
  return () => { closed = true; plane.close(); clearTimeout(timer); clearInterval(film); };
}

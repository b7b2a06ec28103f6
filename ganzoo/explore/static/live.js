// The training that this page owns: watch it, take single steps, and change it while it runs.
import { bytes, checkboxes, command, paint, slider } from "./controls.js";
import { charts } from "./curves.js";
import { attempt, el, listen, number, post, remember } from "./page.js";
import { divergence, LAYERS, PlaneView, SHOWN_AT_FIRST } from "./plane.js";

const SPACING = 0.02;
const CHARTS_EVERY_MS = 1000;

export function showLive(root, at, home) {
  if (!home.live) {
    root.append(el("p", {}, "This page is not training anything. Start it with ", el("code", {}, "ganzoo explore --train wgan --dataset ring")));
    return undefined;
  }
  let last = Promise.resolve();
  /** Send a command after those before it; what is refused is put back. */
  function order(body) {
    last = last.then(() => attempt(() => post("api/training", body))).then((accepted) => { if (!accepted) showSettings(); });
  }
  const layers = new Set((at.parameters.get("layers") ?? SHOWN_AT_FIRST).split(","));
  const canvas = el("canvas", { class: "plane", tabindex: 0, role: "img", "aria-label": "The plane: real points, generated points and the discriminator's surface" });
  const view = new PlaneView(canvas, layers);
  const pictures = el("canvas", { class: "picture", role: "img", "aria-label": "Samples, always of the same noise" });
  let description = null, status = null, rows = [], drawing = false, optimalSent = false, waiting = null;

  const title = el("h1", {}, "Live");
  const facts = el("p", { class: "quiet small" }); // not read out: it changes all the time
  const note = el("p", { class: "small", role: "status" });
  const layerBox = checkboxes("Show", LAYERS, layers, (name) => {
    if (name === "optimal") order({ do: "optimal", on: layers.has(name) });
    remember({ layers: [...layers].join(",") });
    view.request();
  });
  const jsd = el("span");
  const legend = el("p", { class: "small quiet row" }, el("i", { class: "swatch real" }), "real, and where D says real", el("i", { class: "swatch fake" }), "generated, and where D says generated", jsd);

  const play = el("button", { class: "main", onclick: () => order({ do: status?.playing ? "pause" : "play" }), title: "Space" }, "Play");
  const count = el("input", { type: "number", min: 1, max: 10000, value: at.parameters.get("count") ?? 100, "aria-label": "Number of steps", onchange: () => remember({ count: count.value }) });
  const step = (players, n) => order({ do: "step", players, count: n });
  const transport = el("div", { class: "row" }, play,
    el("button", { onclick: () => step("both", 1), title: "S" }, "Step"),
    el("button", { onclick: () => step("discriminator", 1), title: "D" }, "D alone"),
    el("button", { onclick: () => step("generator", 1), title: "G" }, "G alone"),
    el("span", { class: "row" }, count, el("button", { onclick: () => step("both", Number(count.value)) }, "steps")),
    el("button", { onclick: () => order({ do: "restart" }) }, "Restart"));
  const slow = slider("Slow motion", [0, 100, 1], 0, (value) => value > 0 ? `${number(pauseOf(value), 2)} ms` : "off", (value) => order({ do: "slow", pause: pauseOf(value) }));
  const rates = ["generator_lr", "discriminator_lr"].map((name) => [name, slider(name === "generator_lr" ? "G's learning rate" : "D's learning rate", [-6, -1, 0.05], -3, (value) => number(10 ** value, 2), (value) => order({ do: "set", [name]: Number((10 ** value).toPrecision(2)) }))]);
  const loss = el("select", { onchange: () => order({ do: "set", loss: loss.value }) });
  const penalty = el("select", { onchange: () => order({ do: "set", penalty: penalty.value }) });
  const weight = el("input", { type: "number", min: 0, step: "any", onchange: () => order({ do: "set", penalty_weight: Number(weight.value) }) });
  const k = el("input", { type: "number", min: 1, max: 100, step: 1, onchange: () => order({ do: "set", discriminator_steps: Math.round(Number(k.value)) }) });
  const field = (text, input) => el("label", { class: "field" }, text, input);
  const draw = el("button", { "aria-pressed": "false", onclick: () => toggleDrawing() }, "Draw a distribution");
  const use = el("button", { hidden: true, onclick: () => { const points = view.drawing; toggleDrawing(false); order({ do: "draw", points }); } }, "Train on it");
  const clear = el("button", { hidden: true, onclick: () => { view.drawing = []; view.request(); } }, "Clear");
  const hint = el("p", { class: "quiet small", hidden: true }, "Drag over the plane; or with the keyboard: arrow keys move the brush, Space puts a dot.");
  const drawRow = el("div", { class: "row" }, draw, use, clear);
  const alarms = el("ul", { class: "alarms" });
  const alarmPanel = el("section", { class: "panel", hidden: true }, el("h2", {}, "Alarms"), alarms);
  const repeat = el("div");
  const chartBox = el("div", { class: "charts" });
  let drawCharts = charts(chartBox);

  const planePanel = el("section", { class: "panel" }, canvas, pictures, legend, layerBox);
  root.append(title, facts, el("div", { class: "columns" }, planePanel,
    el("div", {}, el("section", { class: "panel" }, el("h2", {}, "Training"), transport, slow.node, note),
      el("section", { class: "panel" }, el("h2", {}, "While it runs"), rates.map(([, each]) => each.node), el("div", { class: "fields" }, field("Loss", loss), field("Penalty", penalty), field("Penalty's weight", weight), field("D's steps per G's step (k)", k)), drawRow, hint),
      alarmPanel, el("section", { class: "panel" }, el("h2", {}, "From the beginning, on the command line"), repeat))),
    el("h2", {}, "Curves"), chartBox);

  function describe(news) {
    description = news;
    title.textContent = `${news.architecture} on ${news.dataset}`;
    const points = news.plane !== null;
    for (const node of [canvas, legend, layerBox]) node.hidden = !points;
    pictures.hidden = points;
    drawRow.hidden = !news.drawable;
    for (const [select, name] of [[loss, "loss"], [penalty, "penalty"]]) select.replaceChildren(...news.choices[name].map((choice) => el("option", {}, choice)));
    if (points) view.describe(news.plane);
  }

  function update({ picture, status: now, rows: more }) {
    status = now;
    rows = rows.concat(more);
    play.textContent = now.playing ? "Pause" : "Play";
    facts.textContent = `step ${now.step.toLocaleString("en")} · ${now.playing ? `${number(now.rate)} steps/s` : "paused"}`;
    if (note.textContent !== now.note) note.textContent = now.note;
    if (!optimalSent && layers.has("optimal") && !now.optimal) order({ do: "optimal", on: true });
    optimalSent = true;
    slow.set(now.pause > 0 ? 100 * Math.log10(now.pause) / Math.log10(2000) : 0);
    showSettings();
    fill(repeat, now.command + now.edited, () => [command(now.command), now.edited ? el("p", { class: "quiet small" }, "With the settings as they are now: what was changed by hand on the way is not in it.") : ""]);
    alarmPanel.hidden = now.alarms.length === 0;
    fill(alarms, JSON.stringify(now.alarms), () => now.alarms.slice(-4).map((alarm) => el("li", {}, el("b", {}, `${alarm.name} at step ${alarm.step}`), el("br"), `${alarm.evidence}. `, el("span", { class: "quiet" }, alarm.remedy))));
    if (description?.plane) {
      view.show(picture);
      jsd.textContent = divergence(picture);
    } else if (picture.pixels) paint(pictures, bytes(picture.pixels), picture.shape);
    if (more.length) waiting ??= setTimeout(showCurves, now.playing ? CHARTS_EVERY_MS : 0);
  }
  function showSettings() {
    if (!status) return;
    for (const [name, each] of rates) each.set(Math.log10(status.settings[name]));
    for (const [input, name] of [[loss, "loss"], [penalty, "penalty"], [weight, "penalty_weight"], [k, "discriminator_steps"]]) if (document.activeElement !== input || input.tagName === "SELECT") input.value = status.settings[name];
  }
  function showCurves() {
    waiting = null;
    drawCharts(lines(rows), status.alarms);
  }

  function toggleDrawing(on = !drawing) {
    drawing = on;
    view.drawing = on ? [] : null;
    view.brush = on ? [0, 0] : null;
    draw.setAttribute("aria-pressed", on);
    canvas.classList.toggle("drawing", on);
    for (const node of [use, clear, hint]) node.hidden = !on;
    if (on) canvas.focus();
    view.request();
  }
  function dot(x, y) {
    const [lastX, lastY] = view.drawing.at(-1) ?? [9, 9];
    if (view.drawing.length < 5000 && Math.hypot(x - lastX, y - lastY) > SPACING) view.drawing.push([x, y]);
    view.request();
  }
  function pointer(event) {
    if (!drawing || !(event.buttons & 1)) return;
    const box = canvas.getBoundingClientRect(), margin = view.plane.margin;
    view.brush = [((event.clientX - box.left) / box.width * 2 - 1) * margin, (1 - (event.clientY - box.top) / box.height * 2) * margin];
    dot(...view.brush.map((value) => Math.min(Math.max(value, -margin), margin)));
  }
  canvas.addEventListener("pointerdown", pointer);
  canvas.addEventListener("pointermove", pointer);
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!drawing || (!move && event.key !== " ")) return;
    event.preventDefault();
    event.stopPropagation();
    if (move) view.brush = view.brush.map((value, i) => Math.min(Math.max(value + 0.04 * move[i], -1.2), 1.2));
    else dot(...view.brush);
    view.request();
  });
  function key(event) {
    if (event.target.closest("button, input, select, summary, a") || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = { " ": () => play.click(), s: () => step("both", 1), d: () => step("discriminator", 1), g: () => step("generator", 1) }[event.key.toLowerCase()];
    if (!action || (event.key === " " && event.repeat)) return;
    event.preventDefault();
    action();
  }
  document.addEventListener("keydown", key);
  const stop = listen("api/training", { description: describe, reset: () => { rows = []; drawCharts = charts(chartBox); }, news: update });
  return () => { stop(); clearTimeout(waiting); view.close(); document.removeEventListener("keydown", key); };
}

/** Give `node` these children if `text`, which they follow from, has changed: again they would lose focus and selection. */
function fill(node, text, children) {
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  node.replaceChildren(...children());
}

const pauseOf = (value) => Number(value) === 0 ? 0 : 10 ** (value / 100 * Math.log10(2000));

function lines(rows) {
  const names = new Set(rows.flatMap((row) => Object.keys(row)).filter((name) => !["step", "images", "seconds"].includes(name)));
  const every = Math.ceil(rows.length / 300), shown = rows.filter((_, i) => i % every === 0 || i === rows.length - 1);
  return Object.fromEntries([...names].map((name) => [name, shown.filter((row) => row[name] !== undefined && row[name] !== null).map((row) => [row.step, row[name]])]));
}

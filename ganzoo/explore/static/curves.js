// Line charts as SVG: a few lines over steps, a guide, and alarms at their step.
import { el, number } from "./page.js";

const NS = "http://www.w3.org/2000/svg";
const WIDTH = 360, HEIGHT = 190, LEFT = 42, RIGHT = 8, TOP = 10, BOTTOM = 22;
const COLOURS = ["var(--real)", "var(--fake)", "var(--third)", "var(--fourth)"];

/** The charts of a training, in this order, each with the names of its lines. */
const CHARTS = [
  { title: "D's verdict", lines: ["d_real", "d_fake"], labels: ["D(real)", "D(fake)"], guide: 0.5 },
  { title: "Losses", lines: ["discriminator_loss", "generator_loss"], labels: ["discriminator", "generator"] },
  { title: "Gradient norms", lines: ["discriminator_gradient", "generator_gradient"], labels: ["discriminator", "generator"], log: true },
  { title: "Diversity of samples", lines: ["diversity", "duplicates"], labels: ["diversity (1 is that of data)", "duplicates"], guide: 1 },
  { title: "Distance from equilibrium", lines: ["equilibrium_distance"], labels: ["|D − 0.5|"] },
  { title: "Examples per second", lines: ["images_per_second"], labels: ["examples/s"] },
];

/** An empty set of charts in `root`; call the result with (curves, alarms, step) to draw them. */
export function charts(root) {
  const panels = new Map();
  root.replaceChildren();
  return function draw(curves, alarms, cursor = null) {
    const used = new Set(CHARTS.flatMap((chart) => chart.lines));
    const others = Object.keys(curves).filter((name) => !used.has(name)).map((name) => ({ title: name.replaceAll("_", " "), lines: [name], labels: [name.replaceAll("_", " ")] }));
    for (const chart of [...CHARTS, ...others]) {
      const lines = chart.lines.map((name, i) => ({ label: chart.labels[i], colour: COLOURS[i], points: curves[name] ?? [] })).filter((line) => line.points.length);
      if (!lines.length) continue;
      if (!panels.has(chart.title)) {
        panels.set(chart.title, el("div", { class: "panel" }));
        root.append(panels.get(chart.title));
      }
      const guide = chart.lines[0] === "d_real" && lines.some((line) => line.points.some(([, y]) => y < 0 || y > 1)) ? undefined : chart.guide;
      panels.get(chart.title).replaceChildren(el("h2", {}, chart.title), ...picture({ ...chart, guide, lines, alarms, cursor }));
    }
  };
}

function picture({ title, lines, guide, log, alarms, cursor }) {
  const value = (y) => log ? Math.log10(Math.max(y, 1e-9)) : y;
  const all = lines.flatMap((line) => line.points);
  const ys = all.map(([, y]) => value(y)).concat(guide === undefined ? [] : [guide]);
  const high = Math.max(...all.map(([x]) => x), 1);
  const [bottom, top, ticks] = scale(Math.min(...ys), Math.max(...ys));
  const x = (step) => LEFT + step / high * (WIDTH - LEFT - RIGHT);
  const y = (v) => HEIGHT - BOTTOM - (v - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM);
  const last = lines.map((line) => `${line.label} ${number(line.points.at(-1)[1])}`).join(", ");
  const svg = shape("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title} over ${high} steps. Last: ${last}` });
  for (const tick of ticks) {
    svg.append(shape("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }),
      text(number(log ? 10 ** tick : tick, log ? 2 : 3), { x: LEFT - 5, y: y(tick) + 3.5, "text-anchor": "end" }));
  }
  for (const share of [0, 0.5, 1]) svg.append(text(number(high * share), { x: x(high * share), y: HEIGHT - 6, "text-anchor": share === 1 ? "end" : share ? "middle" : "start" }));
  if (guide !== undefined) svg.append(shape("line", { class: "guide", x1: LEFT, x2: WIDTH - RIGHT, y1: y(guide), y2: y(guide) }));
  for (const alarm of alarms ?? []) {
    const line = shape("line", { class: "alarm", x1: x(alarm.step), x2: x(alarm.step), y1: TOP, y2: HEIGHT - BOTTOM });
    const hint = shape("title", {});
    hint.textContent = `step ${alarm.step}: ${alarm.name}`;
    line.append(hint);
    svg.append(line, text("!", { class: "alarm", x: x(alarm.step), y: TOP - 1, "text-anchor": "middle" }));
  }
  for (const line of lines) {
    const places = line.points.map(([step, v]) => `${x(step).toFixed(1)},${y(value(v)).toFixed(1)}`);
    svg.append(shape("polyline", { stroke: line.colour, points: places.join(" ") }));
    if (places.length === 1) svg.append(shape("circle", { fill: line.colour, cx: x(line.points[0][0]), cy: y(value(line.points[0][1])), r: 3 })); // a line of one point cannot be seen
  }
  if (cursor !== null) svg.append(shape("line", { class: "cursor", x1: x(Math.min(cursor, high)), x2: x(Math.min(cursor, high)), y1: TOP, y2: HEIGHT - BOTTOM }));
  const legend = el("div", { class: "legend", "aria-hidden": "true" });
  const label = (step) => legend.replaceChildren(...lines.map((line) => {
    const point = step === null ? line.points.at(-1) : line.points.reduce((best, point) => Math.abs(point[0] - step) < Math.abs(best[0] - step) ? point : best);
    const key = el("i");
    key.style.background = line.colour;
    return el("span", {}, key, `${line.label} ${number(point[1])}`);
  }), step === null ? "" : el("span", {}, `step ${number(step)}`));
  label(null);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * high;
    label(Math.round(Math.min(Math.max(at, 0), high)));
  });
  svg.addEventListener("pointerleave", () => label(null));
  return [svg, legend];
}

/** The lower and upper end of an axis, and round numbers between them. */
function scale(low, high) {
  if (!(high - low > 1e-9)) [low, high] = [low - 0.5, high + 0.5];
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const first = Math.floor(low / step + 1e-6), last = Math.ceil(high / step - 1e-6);
  return [first * step, last * step, Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step)];
}

function shape(name, attributes) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function text(content, attributes) {
  const node = shape("text", attributes);
  node.textContent = content;
  return node;
}

// The latent space of a trained generator: a picture between four pins, and everything that changes it.
import { attempt, el, get } from "./page.js";
import { classPanel } from "./latent/classes.js";
import { directionsPanel } from "./latent/directions.js";
import { keepPanel, projectionPanel } from "./latent/files.js";
import { padPanel } from "./latent/pad.js";
import { picturePanel } from "./latent/picture.js";
import { LatentState } from "./latent/state.js";
import { wallPanel } from "./latent/wall.js";

/** Whether this part can show a run: one of images, made of noise. */
export const hasLatentSpace = (run) => run.kind === "images" && !run.inputs;

export async function showLatent(root, at, home) {
  root.append(el("div", { class: "row spread" }, el("h1", {}, "Latent space"), runChoice(at, home)));
  const waiting = el("p", { class: "quiet", role: "status" }, "Loading the generator …");
  root.append(waiting);
  const base = `api/runs/${at.run}`;
  const info = await attempt(() => get(`${base}/latent`));
  waiting.remove();
  if (!info) return undefined;

  const state = new LatentState(base, info, at.parameters);
  const keep = keepPanel(state);
  const picture = picturePanel(state, keep.showCode);
  const wall = wallPanel(state, (pin) => pad.setPin(state.pin, pin));
  const pad = padPanel(state, wall);
  const directions = directionsPanel(state);
  state.changed = picture.refresh;

  root.append(
    el("p", { class: "quiet small" }, `Step ${info.step.toLocaleString("en")}, the moving average's generator`),
    el("div", { class: "columns latent" },
      el("div", {}, picture.node, wall.node),
      el("div", {}, pad.node, info.classes.length ? classPanel(state) : "", directions.node, projectionPanel(state, pad.setPin))),
    keep.node);
  for (const panel of [picture, pad, wall, directions]) panel.refresh();
  return () => { state.closed = true; };
}

function runChoice(at, home) {
  const runs = home.runs.filter((run) => hasLatentSpace(run) || run.id === at.run);
  const select = el("select", { "aria-label": "Run", onchange: () => { location.hash = `#/latent/${select.value}`; } },
    runs.map((run) => el("option", { value: run.id, selected: run.id === at.run }, run.name)));
  return select;
}

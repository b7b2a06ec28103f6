// The wall of samples, one of each seed, to choose pins from.
import { paint } from "../controls.js";
import { el, newest } from "../page.js";
import { classOptions } from "./classes.js";
import { PINS } from "./state.js";

const TILES = 24;

/** The panel; `use` is called with the sample that the user chooses, `nameTiles` says which pin it would replace. */
export function wallPanel(state, use) {
  let samples = []; // what the tiles show
  const shots = Array.from({ length: TILES }, () => el("canvas"));
  const tiles = shots.map((shot, i) =>
    el("button", { class: "tile", onclick: () => { if (samples[i]) use(samples[i]); } }, shot));
  const ofClass = state.info.classes.length ? classChoice(state, () => refresh()) : "";
  function turn(by) {
    state.change({ first: Math.max(0, state.first + by) });
    refresh();
  }
  const node = el("section", { class: "panel" },
    el("div", { class: "row spread" }, el("h2", {}, "Samples"),
      el("div", { class: "row" }, ofClass,
        el("button", { onclick: () => turn(-TILES) }, "Back"),
        el("button", { onclick: () => turn(TILES) }, "More"))),
    el("div", { class: "wall" }, tiles));

  const refresh = newest(async () => {
    const asked = tiles.map((_, i) => sample(state, state.first + i)), pictures = await state.pictures(asked);
    if (state.closed) return;
    samples = asked;
    shots.forEach((shot, i) => paint(shot, pictures[i], state.info.shape));
    nameTiles();
  });
  function nameTiles() {
    samples.forEach(({ seed }, i) => {
      tiles[i].setAttribute("aria-label", `Sample of seed ${seed}: make it pin ${PINS[state.pin]}`);
      tiles[i].title = `seed ${seed}`;
    });
  }
  return { node, refresh, nameTiles };
}

const sample = (state, seed) => ({ seed, label: state.label < 0 ? state.classOf(seed) : state.label });

function classChoice(state, changed) {
  const select = el("select", { "aria-label": "Class of the samples", onchange: () => {
    state.change({ label: Number(select.value) });
    changed();
  } }, classOptions(state.info.classes, "all classes"));
  select.value = state.label;
  return select;
}

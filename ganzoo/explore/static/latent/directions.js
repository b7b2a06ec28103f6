// Directions of latent space along which images change, a slider for each.
import { slider } from "../controls.js";
import { el, newest, number, post } from "../page.js";
import { METHODS, REACH } from "./state.js";

/** The panel; `refresh` gets the directions of the chosen method and sets the sliders to the state. */
export function directionsPanel(state) {
  const sliders = el("div");
  const method = el("select", { onchange: () => {
    state.change({ method: method.value, moves: new Map() });
    refresh();
  } }, Object.entries(METHODS).map(([name, text]) => el("option", { value: name, selected: name === state.method }, text)));
  const back = () => {
    state.change({ moves: new Map() });
    refresh();
  };
  const node = el("section", { class: "panel" },
    el("div", { class: "row spread" }, el("h2", {}, "Directions"), el("label", { class: "small quiet" }, "by", method)), sliders);

  const refresh = newest(async () => {
    const asked = state.method;
    sliders.replaceChildren(el("p", { class: "quiet small", role: "status" }, "Looking for directions …"));
    let found;
    try {
      found = await post(`${state.base}/directions`, { method: asked }).then((response) => response.json());
    } catch (failure) {
      sliders.replaceChildren();
      throw failure;
    }
    if (state.closed || asked !== state.method) return;
    sliders.replaceChildren(...found.names.map((name, i) => directionSlider(state, name, i)),
      el("div", { class: "row" }, el("button", { onclick: back }, "Back to the middle")));
  });
  return { node, refresh };
}

function directionSlider(state, name, i) {
  const format = (value) => number(value, 2);
  return slider(name, [-REACH, REACH, 0.05], state.moves.get(i) ?? 0, format, (value) => {
    state.moves.set(i, value);
    state.change({});
  }).node;
}

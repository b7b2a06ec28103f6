// The panel of the pins and the pad between them: the place of the knob decides how much of each pin is in the picture.
import { slider } from "../controls.js";
import { el, number } from "../page.js";
import { pinButtons } from "./pins.js";
import { LEAST_TRUNCATION } from "./state.js";

/** The panel; `setPin` replaces a pin, and `refresh` shows the state. The samples of `wall` name the chosen pin. */
export function padPanel(state, wall) {
  const pins = pinButtons(state, wall.nameTiles);
  const pad = padOf(state);
  const randomise = el("button", { onclick: pins.randomise }, "Random pins");
  const truncation = slider("Truncation", [0, 2, 0.05], state.truncation,
    (value) => value ? number(bounded(value), 2) : "off",
    (value) => {
      state.change({ truncation: bounded(value) });
      wall.refresh();
      pins.refresh();
    });
  const node = el("section", { class: "panel" }, el("h2", {}, "Between four pins"),
    el("div", { class: "padbox" }, pins.buttons, pad.node), pins.line,
    el("div", { class: "row" }, randomise, pad.arithmetic), truncation.node);
  function refresh() {
    pins.choose(state.pin);
    pad.refresh();
    pins.refresh();
  }
  return { node, setPin: pins.set, refresh };
}

/** The pad, and the button that puts arithmetic of the pins in its place. */
function padOf(state) {
  const knob = el("div", {
    class: "knob", role: "slider", tabindex: 0, "aria-label": "Place between the pins", "aria-valuemin": 0, "aria-valuemax": 100,
  });
  const node = el("div", { class: "pad" }, knob);
  const arithmetic = el("button", { title: "The first pin minus the second plus the third", onclick: () => {
    state.change({ mode: state.mode === "pad" ? "arithmetic" : "pad" });
    refresh();
  } }, "A − B + C");

  function refresh() {
    knob.style.left = `${100 * state.x}%`;
    knob.style.top = `${100 * state.y}%`;
    knob.setAttribute("aria-valuenow", Math.round(100 * state.x));
    knob.setAttribute("aria-valuetext", `${Math.round(100 * state.x)}% across, ${Math.round(100 * state.y)}% down`);
    arithmetic.setAttribute("aria-pressed", state.mode === "arithmetic");
    node.classList.toggle("off", state.mode === "arithmetic");
  }
  function move(x, y) {
    state.change({ x: clamp(x, 0, 1), y: clamp(y, 0, 1), mode: "pad" });
    refresh();
  }
  function follow(event) {
    const box = node.getBoundingClientRect();
    move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }
  node.addEventListener("pointerdown", (event) => {
    node.setPointerCapture(event.pointerId);
    follow(event);
    knob.focus({ preventScroll: true });
    event.preventDefault(); // which would take the focus from the knob
  });
  node.addEventListener("pointermove", (event) => { if (event.buttons & 1) follow(event); });
  knob.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.1 : 0.02;
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (!by) return;
    event.preventDefault();
    move(state.x + by[0], state.y + by[1]);
  });
  return { node, arithmetic, refresh };
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const bounded = (truncation) => truncation && Math.max(truncation, LEAST_TRUNCATION); // 0 is none

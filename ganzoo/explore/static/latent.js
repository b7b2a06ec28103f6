// The latent space of a trained generator: pins, a pad between them, directions, classes, a wall of samples.
import { bytes, command, paint, slider } from "./controls.js";
import { attempt, el, get, newest, number, post, remember, report, send } from "./page.js";

const PINS = ["A", "B", "C", "D"];
const WALL = 24;
const METHODS = { sefa: "SeFa", ganspace: "GANSpace" };
const SETTLED_MS = 350;
const REACH = 4; // standard deviations to each side
const LEAST_TRUNCATION = 0.3; // noise within a smaller bound takes long to draw

/** Whether this part can show a run: one of images, made of noise. */
export const hasLatentSpace = (run) => run.kind === "images" && !run.inputs;

export async function showLatent(root, at, home) {
  const runs = home.runs.filter((run) => hasLatentSpace(run) || run.id === at.run);
  const choose = el("select", { "aria-label": "Run", onchange: () => { location.hash = `#/latent/${choose.value}`; } },
    runs.map((run) => el("option", { value: run.id, selected: run.id === at.run }, run.name)));
  root.append(el("div", { class: "row spread" }, el("h1", {}, "Latent space"), choose));
  const base = `api/runs/${at.run}`;
  const waiting = el("p", { class: "quiet", role: "status" }, "Loading the generator …");
  root.append(waiting);
  const info = await attempt(() => get(`${base}/latent`));
  waiting.remove();
  if (!info) return;
  // the address may be typed or older than the run: what does not fit is left out
  const given = (name, other, low, high, fits = Number.isFinite) => {
    const value = at.parameters.has(name) ? Number(at.parameters.get(name)) : NaN;
    return fits(value) && value >= low && value <= high ? value : other;
  };
  const givenClass = (name) => given(name, -1, -1, info.classes.length - 1, Number.isInteger);
  const label = (i) => info.classes.length ? i % info.classes.length : null;
  const state = {
    pins: pinsIn(at.parameters.get("pins") ?? "", info, label),
    mode: at.parameters.get("mode") === "arithmetic" ? "arithmetic" : "pad",
    x: given("x", 0.5, 0, 1), y: given("y", 0.5, 0, 1),
    truncation: given("t", 0, LEAST_TRUNCATION, 2), from: givenClass("from"), to: givenClass("to"), share: given("share", 0, 0, 1),
    method: METHODS[at.parameters.get("method")] ? at.parameters.get("method") : "sefa",
    moves: new Map((at.parameters.get("moves") ?? "").split(",").map((text) => text.split(":").map(Number)).filter(([index, amount]) => Number.isInteger(index) && index >= 0 && index < info.directions && Math.abs(amount) <= REACH)),
    first: given("wall", 0, 0, 1e12, Number.isInteger), pin: 0, label: givenClass("label"),
  };
  if (state.pins.includes(null)) report("A projected image is no longer there: choose another pin, or upload it again.");
  for (let i = 0; i < 4; i++) state.pins[i] ??= { seed: i + 1, label: label(i) };

  // -- the picture
  const shape = info.shape;
  const canvas = el("canvas", { class: "picture main-picture", role: "img", "aria-label": "The generated image" });
  const score = el("p", { class: "quiet small", role: "status" });
  const near = el("div", { class: "row near" });
  const code = el("div");
  let settled = null, closed = false;
  const recipe = () => ({
    pins: state.pins, mode: state.mode, x: state.x, y: state.y, truncation: state.truncation || null,
    classes: state.from >= 0 ? [state.from, state.to >= 0 ? state.to : state.from, state.share] : null,
    moves: [...state.moves].filter(([, amount]) => amount).map(([index, amount]) => [state.method, index, amount]),
  });
  const draw = newest(async () => {
    clearTimeout(settled);
    if (closed) return;
    const response = await post(`${base}/frame`, recipe());
    if (closed) return;
    paint(canvas, new Uint8Array(await response.arrayBuffer()), shape);
    settled = setTimeout(describe, SETTLED_MS);
  });
  const describe = newest(async () => {
    const asked = JSON.stringify(recipe()), known = await post(`${base}/about`, recipe()).then((response) => response.json());
    if (closed || asked !== JSON.stringify(recipe())) return;
    score.textContent = !known.score ? "" : known.score.probability ? `D says: real with probability ${number(known.score.value, 3)}` : `D's score: ${number(known.score.value, 3)}`;
    near.replaceChildren(...known.nearest.map((image) => el("figure", {}, thumbnail(image.image, shape, `Training image ${image.index}`), el("figcaption", {}, number(image.rms, 3)))));
    if (known.reason) near.replaceChildren(el("span", { class: "quiet small" }, known.reason));
    code.replaceChildren(command(known.code), known.walk ? el("p", { class: "small quiet" }, "The walk through the pins:") : "", known.walk ? command(known.walk) : "");
  });
  function change(values) {
    Object.assign(state, values);
    remember({
      pins: state.pins.map(formatPin).join(","), mode: state.mode === "pad" ? null : state.mode, x: number(state.x, 3), y: number(state.y, 3),
      t: state.truncation || null, from: state.from < 0 ? null : state.from, to: state.to < 0 ? null : state.to, share: state.share ? number(state.share, 3) : null,
      method: state.method === "sefa" ? null : state.method, moves: [...state.moves].filter(([, amount]) => amount).map((move) => move.join(":")).join(",") || null,
      wall: state.first || null, label: state.label < 0 ? null : state.label,
    });
    draw();
  }

  // -- pins and the pad between them
  const pinButtons = PINS.map((name, i) => {
    const shot = el("canvas");
    return { shot, button: el("button", { class: `pin pin-${name}`, "aria-label": `Pin ${name}`, "aria-pressed": "false", onclick: () => choosePin(i) }, shot, el("span", {}, name)) };
  });
  const knob = el("div", { class: "knob", role: "slider", tabindex: 0, "aria-label": "Place between the pins", "aria-valuemin": 0, "aria-valuemax": 100 });
  const pad = el("div", { class: "pad" }, knob);
  const padBox = el("div", { class: "padbox" }, pinButtons.map(({ button }) => button), pad);
  const pinLine = el("p", { class: "small quiet", role: "status" });
  function choosePin(i) {
    state.pin = i;
    pinButtons.forEach(({ button }, j) => button.setAttribute("aria-pressed", i === j));
    const pin = state.pins[i];
    pinLine.textContent = `Pin ${PINS[i]}: ${pin.image ? "a projected image" : `seed ${pin.seed}${pin.label === null ? "" : `, class ${info.classes[pin.label]}`}`}. Choose a sample to replace it.`;
    nameTiles();
  }
  function moveKnob(x, y) {
    change({ x: clamp(x, 0, 1), y: clamp(y, 0, 1), mode: "pad" });
    showPad();
  }
  function showPad() {
    knob.style.left = `${100 * state.x}%`;
    knob.style.top = `${100 * state.y}%`;
    knob.setAttribute("aria-valuenow", Math.round(100 * state.x));
    knob.setAttribute("aria-valuetext", `${Math.round(100 * state.x)}% across, ${Math.round(100 * state.y)}% down`);
    arithmetic.setAttribute("aria-pressed", state.mode === "arithmetic");
    pad.classList.toggle("off", state.mode === "arithmetic");
  }
  pad.addEventListener("pointerdown", (event) => { pad.setPointerCapture(event.pointerId); follow(event); knob.focus({ preventScroll: true }); event.preventDefault(); });
  pad.addEventListener("pointermove", (event) => { if (event.buttons & 1) follow(event); });
  function follow(event) {
    const box = pad.getBoundingClientRect();
    moveKnob((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }
  knob.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.1 : 0.02;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (!move) return;
    event.preventDefault();
    moveKnob(state.x + move[0], state.y + move[1]);
  });
  const showPins = newest(async () => {
    const shots = await pictures(state.pins);
    if (!closed) pinButtons.forEach(({ shot }, i) => paint(shot, shots[i], shape));
  });
  /** The bytes of the picture of each pin. */
  async function pictures(pins) {
    const response = await post(`${base}/wall`, { pins, truncation: state.truncation || null });
    const all = new Uint8Array(await response.arrayBuffer()), each = all.length / pins.length;
    return pins.map((_, i) => all.subarray(i * each, (i + 1) * each));
  }
  function setPin(i, pin) {
    state.pins[i] = pin;
    change({});
    choosePin(i);
    showPins();
  }

  // -- sliders
  const arithmetic = el("button", { title: "The first pin minus the second plus the third", onclick: () => { change({ mode: state.mode === "pad" ? "arithmetic" : "pad" }); showPad(); } }, "A − B + C");
  const randomise = el("button", { onclick: () => { state.pins = state.pins.map((_, i) => ({ seed: Math.floor(Math.random() * 1e6), label: label(i) })); change({}); showPins(); choosePin(state.pin); } }, "Random pins");
  const truncation = slider("Truncation", [0, 2, 0.05], state.truncation, (value) => value ? number(bounded(value), 2) : "off", (value) => { change({ truncation: bounded(value) }); showWall(); showPins(); });
  const directions = el("div");
  const method = el("select", { onchange: () => { state.moves = new Map(); change({ method: method.value }); showDirections(); } }, Object.entries(METHODS).map(([name, text]) => el("option", { value: name, selected: name === state.method }, text)));
  const showDirections = newest(async () => {
    const asked = state.method;
    directions.replaceChildren(el("p", { class: "quiet small", role: "status" }, "Looking for directions …"));
    const found = await post(`${base}/directions`, { method: asked }).then((response) => response.json()).catch((failure) => {
      directions.replaceChildren();
      throw failure;
    });
    if (closed || asked !== state.method) return;
    directions.replaceChildren(...found.names.map((name, i) => slider(name, [-REACH, REACH, 0.05], state.moves.get(i) ?? 0, (value) => number(value, 2), (value) => { state.moves.set(i, value); change({}); }).node),
      el("div", { class: "row" }, el("button", { onclick: () => { state.moves = new Map(); change({}); showDirections(); } }, "Back to the middle")));
  });
  const classOptions = (none) => [el("option", { value: -1 }, none), ...info.classes.map((name, i) => el("option", { value: i }, name))];
  const from = el("select", { onchange: () => change({ from: Number(from.value) }) }, classOptions("as pinned"));
  const to = el("select", { onchange: () => { if (state.from < 0) { state.from = state.pins[0].label ?? 0; from.value = state.from; } change({ to: Number(to.value) }); } }, classOptions("none"));
  from.value = state.from;
  to.value = state.to;
  const share = slider("Share of the other", [0, 1, 0.01], state.share, (value) => `${Math.round(100 * value)}%`, (value) => change({ share: value }));
  const classPanel = info.classes.length ? el("section", { class: "panel" }, el("h2", {}, "Class"), el("div", { class: "fields" }, el("label", { class: "field" }, "Class", from), info.mixes ? el("label", { class: "field" }, "mixed with", to) : ""), info.mixes ? share.node : "") : "";

  // -- projection and files
  const file = el("input", { type: "file", accept: "image/*", "aria-label": "An image to project" });
  const projected = el("p", { class: "small quiet", role: "status" });
  file.addEventListener("change", async () => {
    const chosen = file.files[0];
    if (!chosen) return;
    projected.textContent = "Looking for the closest image that this generator makes …";
    const pin = state.pin, own = state.from >= 0 ? `?label=${state.from}` : "";
    const found = await attempt(() => send(`${base}/project${own}`, chosen).then((response) => response.json()));
    file.value = "";
    projected.textContent = found ? `Pin ${PINS[pin]} is now the closest image: PSNR ${found.psnr} dB; the best random sample has ${found.random_psnr} dB.` : "";
    if (found && !closed) setPin(pin, { image: found.image });
  });
  async function save(kind) {
    const response = await attempt(() => post(`${base}/file/${kind}`, recipe()));
    if (!response) return;
    const link = el("a", { href: URL.createObjectURL(await response.blob()), download: kind === "gif" ? "walk.gif" : `picture.${kind}` });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  // -- the wall
  const tilePin = (i) => ({ seed: state.first + i, label: state.label < 0 ? label(state.first + i) : state.label });
  const wall = el("div", { class: "wall" });
  let samples = []; // what the tiles show
  const tiles = Array.from({ length: WALL }, (_, i) => {
    const shot = el("canvas");
    const button = el("button", { class: "tile", onclick: () => { if (samples[i]) setPin(state.pin, samples[i]); } }, shot);
    wall.append(button);
    return { shot, button };
  });
  function nameTiles() {
    samples.forEach(({ seed }, i) => {
      tiles[i].button.setAttribute("aria-label", `Sample of seed ${seed}: make it pin ${PINS[state.pin]}`);
      tiles[i].button.title = `seed ${seed}`;
    });
  }
  const wallClass = info.classes.length ? el("select", { "aria-label": "Class of the samples", onchange: () => { change({ label: Number(wallClass.value) }); showWall(); } }, classOptions("all classes")) : "";
  if (wallClass) wallClass.value = state.label;
  const turn = (by) => { state.first = Math.max(0, state.first + by); change({}); showWall(); };
  const showWall = newest(async () => {
    const pins = tiles.map((_, i) => tilePin(i)), shots = await pictures(pins);
    if (closed) return;
    samples = pins;
    tiles.forEach(({ shot }, i) => paint(shot, shots[i], shape));
    nameTiles();
  });

  root.append(el("p", { class: "quiet small" }, `Step ${info.step.toLocaleString("en")}, the moving average's generator`),
    el("div", { class: "columns latent" },
      el("div", {},
        el("section", { class: "panel" }, canvas, score, el("h2", {}, "Nearest training images"), near),
        el("section", { class: "panel" }, el("div", { class: "row spread" }, el("h2", {}, "Samples"), el("div", { class: "row" }, wallClass, el("button", { onclick: () => turn(-WALL) }, "Back"), el("button", { onclick: () => turn(WALL) }, "More"))), wall)),
      el("div", {},
        el("section", { class: "panel" }, el("h2", {}, "Between four pins"), padBox, pinLine, el("div", { class: "row" }, randomise, arithmetic), truncation.node),
        classPanel,
        el("section", { class: "panel" }, el("div", { class: "row spread" }, el("h2", {}, "Directions"), el("label", { class: "small quiet" }, "by", method)), directions),
        el("section", { class: "panel" }, el("h2", {}, "Your own image"), el("p", { class: "small quiet" }, "The closest image that the generator can make becomes the chosen pin."), file, projected))),
    el("section", { class: "panel" }, el("div", { class: "row spread" }, el("h2", {}, "Keep it"), el("div", { class: "row" }, el("button", { onclick: () => save("png") }, "PNG"), el("button", { onclick: () => save("gif") }, "GIF of the walk"), el("button", { onclick: () => save("npz") }, "npz"))), code));
  choosePin(0);
  showPad();
  draw();
  showPins();
  showWall();
  showDirections();
  return () => { closed = true; clearTimeout(settled); };
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const bounded = (truncation) => truncation && Math.max(truncation, LEAST_TRUNCATION);
const formatPin = (pin) => pin.image ? `i${pin.image}` : pin.label === null ? String(pin.seed) : `${pin.seed}.${pin.label}`;

/** The pins in an address; null for a projected image that the server no longer has. */
function pinsIn(text, info, label) {
  const pins = text.split(",").filter((part) => /^(\d{1,15}(\.\d{1,6})?|i[0-9a-f]{12})$/.test(part)).slice(0, 4);
  return pins.map((part, i) => {
    if (part.startsWith("i")) return info.projected.includes(part.slice(1)) ? { image: part.slice(1) } : null;
    const [seed, given] = part.split(".").map(Number);
    return { seed, label: given < info.classes.length ? given : label(i) };
  });
}

function thumbnail(text, shape, label) {
  const canvas = el("canvas", { class: "small-picture", role: "img", "aria-label": label, title: label });
  paint(canvas, bytes(text), shape);
  return canvas;
}

// What the Latent space page is set to: read from the address, kept in it, and sent to the server as a recipe.
import { number, post, remember, report } from "../page.js";

export const PINS = ["A", "B", "C", "D"];
export const METHODS = { sefa: "SeFa", ganspace: "GANSpace" };
export const REACH = 4; // standard deviations to each side
export const LEAST_TRUNCATION = 0.3; // noise within a smaller bound takes long to draw

export class LatentState {
  /** `base` is the address of the run, `info` what the server says about it, `parameters` those of the page's address. */
  constructor(base, info, parameters) {
    this.base = base;
    this.info = info;
    this.closed = false; // once the page is left, answers are no longer shown
    this.changed = () => {}; // set by the page to draw the picture again

    // the address may be typed or older than the run: what does not fit is left out
    const read = (name, fallback, low, high, fits = Number.isFinite) => {
      const value = parameters.has(name) ? Number(parameters.get(name)) : NaN;
      return fits(value) && value >= low && value <= high ? value : fallback;
    };
    const readClass = (name) => read(name, -1, -1, info.classes.length - 1, Number.isInteger);
    this.pins = this.readPins(parameters.get("pins") ?? "");
    this.pin = 0; // the index of the chosen one
    this.mode = parameters.get("mode") === "arithmetic" ? "arithmetic" : "pad";
    this.x = read("x", 0.5, 0, 1);
    this.y = read("y", 0.5, 0, 1);
    this.truncation = read("t", 0, LEAST_TRUNCATION, 2);
    this.from = readClass("from");
    this.to = readClass("to");
    this.share = read("share", 0, 0, 1);
    this.method = Object.hasOwn(METHODS, parameters.get("method")) ? parameters.get("method") : "sefa";
    this.moves = readMoves(parameters.get("moves") ?? "", info.directions); // the amount by the index of the direction
    this.first = read("wall", 0, 0, 1e12, Number.isInteger); // the seed of the first sample
    this.label = readClass("label"); // the class of the samples
  }

  /** Four pins from text such as "1.0,7,i0123456789ab": seeds, some with a class, and projected images. */
  readPins(text) {
    const parts = text.split(",").filter((part) => /^(\d{1,15}(\.\d{1,6})?|i[0-9a-f]{12})$/.test(part)).slice(0, PINS.length);
    const pins = parts.map((part, i) => {
      if (part.startsWith("i")) return this.info.projected.includes(part.slice(1)) ? { image: part.slice(1) } : null;
      const [seed, label] = part.split(".").map(Number);
      return { seed, label: label < this.info.classes.length ? label : this.classOf(i) };
    });
    if (pins.includes(null)) report("A projected image is no longer there: choose another pin, or upload it again.");
    return PINS.map((_, i) => pins[i] ?? { seed: i + 1, label: this.classOf(i) });
  }

  /** The class of pin or sample `i` where none is chosen: they take turns. null if there are no classes. */
  classOf(i) {
    return this.info.classes.length ? i % this.info.classes.length : null;
  }

  /** Apply `values`, keep the state in the address, and have the picture drawn again. */
  change(values) {
    Object.assign(this, values);
    remember({
      pins: this.pins.map(formatPin).join(","),
      mode: this.mode === "pad" ? null : this.mode,
      x: number(this.x, 3),
      y: number(this.y, 3),
      t: this.truncation || null,
      from: this.from < 0 ? null : this.from,
      to: this.to < 0 ? null : this.to,
      share: this.share ? number(this.share, 3) : null,
      method: this.method === "sefa" ? null : this.method,
      moves: this.movesMade().map((move) => move.join(":")).join(",") || null,
      wall: this.first || null,
      label: this.label < 0 ? null : this.label,
    });
    this.changed();
  }

  /** What the server needs to draw the picture. */
  recipe() {
    return {
      pins: this.pins,
      mode: this.mode,
      x: this.x,
      y: this.y,
      truncation: this.truncation || null,
      classes: this.from >= 0 ? [this.from, this.to >= 0 ? this.to : this.from, this.share] : null,
      moves: this.movesMade().map(([index, amount]) => [this.method, index, amount]),
    };
  }

  movesMade() {
    return [...this.moves].filter(([, amount]) => amount);
  }

  /** The bytes of the picture of each of `pins`. */
  async pictures(pins) {
    const response = await post(`${this.base}/wall`, { pins, truncation: this.truncation || null });
    const all = new Uint8Array(await response.arrayBuffer()), each = all.length / pins.length;
    return pins.map((_, i) => all.subarray(i * each, (i + 1) * each));
  }
}

function readMoves(text, directions) {
  const moves = text.split(",").map((part) => part.split(":").map(Number));
  return new Map(moves.filter(([index, amount]) =>
    Number.isInteger(index) && index >= 0 && index < directions && Math.abs(amount) <= REACH));
}

const formatPin = (pin) => pin.image ? `i${pin.image}` : pin.label === null ? String(pin.seed) : `${pin.seed}.${pin.label}`;

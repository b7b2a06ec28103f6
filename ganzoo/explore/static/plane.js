// The plane of a GAN of points: D's surface, D*, the manifold grid, real and generated points, gradients.
import { bytes } from "./controls.js";
import { colour } from "./page.js";

export const LAYERS = [["surface", "D's surface"], ["optimal", "D* (the optimum)"], ["mesh", "Manifold grid"], ["real", "Real points"], ["samples", "Generated points"], ["arrows", "Gradients"]];
export const SHOWN_AT_FIRST = "surface,real,samples,arrows";
const ARROW = 0.16;
const floats = (text) => new Float32Array(bytes(text).buffer);

/** What a picture says about the distance of the generator from the data; "" if nothing. */
export const divergence = ({ jsd }) => jsd === undefined ? "" : `Jensen–Shannon divergence ${jsd} nats (0 is perfect)`;

export class PlaneView {
  /** Draws on `canvas`; `layers` is the set of the names to show. */
  constructor(canvas, layers) {
    this.canvas = canvas;
    this.layers = layers;
    this.plane = null;
    this.picture = null;
    this.from = null;
    this.drawing = null;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.observer = new ResizeObserver(() => this.request());
    this.observer.observe(canvas);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => { this.tints = {}; this.request(); };
    this.dark.addEventListener("change", this.repaint);
  }

  describe(plane) {
    this.plane = { ...plane, real: floats(plane.real) };
    this.picture = this.from = null;
    this.request();
  }

  /** Show a picture; samples move there from where they are. */
  show(picture) {
    if (!picture.samples || !this.plane) return;
    const now = performance.now();
    const old = this.current(now);
    this.picture = { ...picture, samples: floats(picture.samples), mesh: floats(picture.mesh), arrows: floats(picture.arrows) };
    this.from = old && old.length === this.picture.samples.length && !this.still.matches ? old : null;
    this.span = Math.min(Math.max(now - (this.shownAt ?? now), 30), 250);
    this.shownAt = now;
    this.tints = {};
    this.request();
  }

  /** Samples on their way from the last picture to this one. */
  current(now) {
    if (!this.picture) return null;
    const to = this.picture.samples, share = this.from ? Math.min((now - this.shownAt) / this.span, 1) : 1;
    return share >= 1 ? to : to.map((value, i) => this.from[i] + (value - this.from[i]) * share);
  }

  /** Draw again at the next frame: everything, or only what moves. */
  request(all = true) {
    this.outdated ||= all;
    if (this.requested) return;
    this.requested = true;
    requestAnimationFrame((now) => { this.requested = false; this.draw(now); });
  }

  /** Let go of the page: what listens to it would keep this view in memory. */
  close() {
    this.observer.disconnect();
    this.dark.removeEventListener("change", this.repaint);
  }

  /** From coordinates of the plane to pixels of the canvas. */
  x(value) { return (value / this.plane.margin + 1) / 2 * this.canvas.width; }
  y(value) { return (1 - value / this.plane.margin) / 2 * this.canvas.height; }

  draw(now) {
    const { canvas, plane, picture, layers } = this;
    const side = Math.round(canvas.clientWidth * Math.min(devicePixelRatio, 2));
    if (!side || !plane) return;
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const ctx = canvas.getContext("2d"), unit = side / 520;
    if (this.outdated) this.backdrop = this.paintBackdrop(side, unit);
    this.outdated = false;
    ctx.clearRect(0, 0, side, side);
    ctx.drawImage(this.backdrop, 0, 0);
    const samples = this.current(now);
    if (samples) {
      if (layers.has("arrows")) this.arrows(ctx, samples, picture.arrows, unit);
      if (layers.has("samples")) this.dots(ctx, samples, colour("fake"), 2.3 * unit, 0.85);
      if (this.from && now - this.shownAt < this.span) this.request(false);
    }
    if (this.brush) this.cross(ctx, this.brush, unit);
  }

  /** All that stands still while samples move. */
  paintBackdrop(side, unit) {
    const { plane, picture, layers } = this;
    const canvas = document.createElement("canvas"), ctx = canvas.getContext("2d");
    canvas.width = canvas.height = side;
    if (picture && layers.has("surface") && picture.surface) this.heat(ctx, "surface", plane.surface, false);
    if (picture && layers.has("optimal") && picture.optimal) this.heat(ctx, "optimal", plane.optimal_surface, true);
    if (picture && layers.has("mesh")) this.mesh(ctx, picture.mesh, plane.mesh, unit);
    if (layers.has("real")) this.dots(ctx, plane.real, colour("real"), 1.7 * unit, 0.55);
    if (this.drawing) this.dots(ctx, this.drawing.flat(), colour("real"), 4 * unit, 0.9);
    return canvas;
  }

  /** D as a tint: the colour of real points where it says real, that of generated ones where it says generated. */
  heat(ctx, name, side, empty) {
    this.tints ??= {};
    this.tints[name] ??= tint(bytes(this.picture[name]), side, empty);
    ctx.imageSmoothingEnabled = true;
    ctx.imageSmoothingQuality = "high";
    ctx.drawImage(this.tints[name], 0, 0, this.canvas.width, this.canvas.height);
  }

  dots(ctx, points, fill, radius, alpha) {
    ctx.globalAlpha = alpha;
    ctx.fillStyle = fill;
    ctx.beginPath();
    for (let i = 0; i < points.length; i += 2) {
      const x = this.x(points[i]), y = this.y(points[i + 1]);
      ctx.moveTo(x + radius, y);
      ctx.arc(x, y, radius, 0, 7);
    }
    ctx.fill();
    ctx.globalAlpha = 1;
  }

  mesh(ctx, points, side, unit) {
    ctx.strokeStyle = colour("fake");
    ctx.globalAlpha = 0.35;
    ctx.lineWidth = 0.8 * unit;
    ctx.beginPath();
    for (const [row, column] of [[side, 1], [1, side]]) {
      for (let i = 0; i < side; i++) {
        for (let j = 0; j < side; j++) {
          const k = 2 * (i * row + j * column), x = this.x(points[k]), y = this.y(points[k + 1]);
          if (j) ctx.lineTo(x, y);
          else ctx.moveTo(x, y);
        }
      }
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  arrows(ctx, samples, arrows, unit) {
    ctx.strokeStyle = colour("text");
    ctx.globalAlpha = 0.5;
    ctx.lineWidth = 1.1 * unit;
    ctx.beginPath();
    for (let i = 0; i < arrows.length; i += 2) {
      ctx.moveTo(this.x(samples[i]), this.y(samples[i + 1]));
      ctx.lineTo(this.x(samples[i] + ARROW * arrows[i]), this.y(samples[i + 1] + ARROW * arrows[i + 1]));
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  cross(ctx, [x, y], unit) {
    ctx.strokeStyle = colour("text");
    ctx.lineWidth = 1.5 * unit;
    ctx.beginPath();
    ctx.arc(this.x(x), this.y(y), 8 * unit, 0, 7);
    ctx.stroke();
  }
}

/** A canvas of side x side pixels; byte 0 to 255 is generated to real, and 0 is nothing if `empty`. */
function tint(values, side, empty) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const ctx = canvas.getContext("2d"), image = ctx.createImageData(side, side);
  const real = rgb(colour("real")), fake = rgb(colour("fake"));
  values.forEach((value, i) => {
    const lean = value / 127.5 - 1, [r, g, b] = lean > 0 ? real : fake;
    image.data.set([r, g, b, empty && value === 0 ? 0 : Math.abs(lean) * (empty ? 190 : 115)], 4 * i);
  });
  ctx.putImageData(image, 0, 0);
  return canvas;
}

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

// A photograph through the network: rows in, tiles, rows out, into a PNG of the photograph's depth. What is held at a
// time is a row of tiles, beside what the browser's decoder holds.
import { planTiles } from "./plan.js";
import { BeyondWriter } from "./beyond.js";
import { openSource } from "./source.js";
import { PngWriter, chunk } from "./png-write.js";
import { TileBlender, TileCutter } from "./tiles.js";

const BAND = 64; // rows that are read at once
const OVERSHOOT = 0.5; // beyond [0, 1], by which a result that cannot be true is known; nafnet-run has the same

/** The user wants no more of it. */
export class CancelledError extends Error {}

/**
 * Restore a file: { blob, beyond, width, height, depth, tiles, recomputed, notes }; the blob is a PNG, and `beyond` what
 * it cannot hold, see beyond.js.
 *
 * @param run the engine's.
 * @param exact the same in fp32 where a result cannot be true; null where the engine computes in it.
 * @param onTile told how many tiles of how many are done.
 * @param signal an AbortSignal.
 */
export async function restore(file, spec, { run, exact, onTile, signal }) {
  const source = await openSource(file);
  const { width, height, channels, stride, depth, notes } = source;
  const writer = new PngWriter({ width, height, stride, depth, chunks: source.before });
  const beyond = new BeyondWriter();
  const plan = planTiles(height, width, { ...spec, fixed: spec.fixed_shape });
  const white = depth === 16 ? 65535 : 255;
  const cutter = new TileCutter(plan, channels, stride, white);
  const blender = new TileBlender(plan, channels);
  const alpha = stride > channels ? new RowQueue(width, stride) : null;
  const counts = { tiles: 0, recomputed: 0 };

  async function restored(column) {
    await breath();
    if (signal.aborted) throw new CancelledError();
    const [h, w] = [plan.rows.tile, plan.columns.tile];
    let made = await run(cutter.tile(column), h, w);
    if (exact && !within(made, -OVERSHOOT, 1 + OVERSHOOT)) {
      counts.recomputed += 1;
      made = await exact(cutter.tile(column), h, w);
    }
    if (!within(made, -Number.MAX_VALUE, Number.MAX_VALUE)) throw new Error("the model's result is not finite");
    return channels === 1 ? mean(made, h * w) : made;
  }

  try {
    for await (const { values, count } of source.rows(BAND)) {
      alpha?.push(values, count);
      for (let left = cutter.feed(values, count); left > 0; left -= 1) {
        let finished = null;
        for (let column = 0; column < plan.columns.starts.length; column += 1) {
          finished = blender.add(await restored(column));
          counts.tiles += 1;
          onTile(counts.tiles, plan.count);
        }
        cutter.next();
        const pixels = interleaved(finished, { width, channels, stride, white, alpha });
        await beyond.write(pixels);
        await writer.write(integers(pixels, white), finished.count);
      }
    }
    const { exif } = await source.metadata();
    const blob = await writer.finish(exif ? [chunk("eXIf", exif)] : []);
    return { blob, beyond: await beyond.finish(), width, height, depth, notes, ...counts };
  } catch (error) {
    await Promise.all([writer.abort(), beyond.abort()]);
    throw error;
  } finally {
    source.close();
  }
}

/** Rows of values, of which alpha is taken out again from the top. */
class RowQueue {
  constructor(width, stride) {
    Object.assign(this, { width, stride, bands: [] });
  }

  push(values, count) {
    const kept = new values.constructor(count * this.width);
    for (let at = 0; at < kept.length; at += 1) kept[at] = values[(at + 1) * this.stride - 1];
    this.bands.push(kept);
  }

  /** The next value. */
  next() {
    this.at ??= 0;
    if (this.at === this.bands[0].length) {
      this.bands.shift();
      this.at = 0;
    }
    this.at += 1;
    return this.bands[0][this.at - 1];
  }
}

/** Finished rows with their values pixel by pixel, Float32Array; alpha as it was. */
function interleaved({ values, size, count }, { width, channels, stride, white, alpha }) {
  const out = new Float32Array(count * width * stride);
  for (let pixel = 0, to = 0; pixel < count * width; pixel += 1, to += stride) {
    for (let channel = 0; channel < channels; channel += 1) out[to + channel] = values[channel * size + pixel];
    if (alpha) out[to + channels] = alpha.next() / white;
  }
  return out;
}

/** Values as a file has them: clipped, and rounded to the nearest, halves to the even. */
export function integers(values, white) {
  const out = white === 255 ? new Uint8ClampedArray(values.length) : new Uint16Array(values.length);
  for (let at = 0; at < values.length; at += 1) out[at] = rounded(Math.fround(values[at] * white), white);
  return white === 255 ? new Uint8Array(out.buffer) : out;
}

/** The nearest integer from 0 to `white`; an array of clamped bytes does that by itself. */
function rounded(value, white) {
  if (white === 255) return value;
  const clipped = Math.min(Math.max(value, 0), white);
  const below = Math.floor(clipped);
  const rest = clipped - below;
  return rest > 0.5 || (rest === 0.5 && below % 2) ? below + 1 : below;
}

/** Whether all lie there; what is no number does not. */
function within(values, least, most) {
  for (let at = 0; at < values.length; at += 1) if (!(values[at] >= least && values[at] <= most)) return false;
  return true;
}

/** The mean of three planes, for a picture of one. */
function mean(planes, size) {
  return Float32Array.from({ length: size }, (_, at) => (planes[at] + planes[at + size] + planes[at + 2 * size]) / 3);
}

/** Let a message in: a run of WASM keeps this thread busy. */
function breath() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => resolve(port1.close());
    port2.postMessage(null);
  });
}

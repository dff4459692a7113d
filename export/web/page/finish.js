// From a restored PNG to the file that is wanted: a share of the original in it, and perhaps a JPEG.
import { readBeyond } from "./beyond.js";
import { withMetadata } from "./jpeg.js";
import { PictureError } from "./png-read.js";
import { PngWriter, chunk } from "./png-write.js";
import { integers } from "./restore.js";
import { openSource } from "./source.js";
import { levels } from "./tiles.js";

const BAND = 64;
const { fround } = Math;

/**
 * The file that is wanted of a restored picture: { blob, ending, notes }.
 *
 * @param original the file that was restored.
 * @param restored a PNG, by `restore`.
 * @param beyond what it cannot hold, or null.
 * @param strength share of what the network did, 0 to 1.
 * @param format "png" or "jpeg".
 * @param quality of a JPEG, 0 to 1.
 */
export async function finish(original, restored, beyond, { strength, format, quality }) {
  if (format === "png" && strength === 1) return { blob: restored, ending: "png", notes: [] };
  const [before, after] = [await openSource(original), await openSource(restored)];
  try {
    const isClear = after.stride > after.channels;
    const notes = isClear && format === "jpeg" ? ["a PNG, since a JPEG has no transparency"] : [];
    const rows = strength === 1 ? after.rows(BAND) : mixed(before, after, beyond, strength);
    if (format === "png" || isClear) return { blob: await asPng(before, after, rows), ending: "png", notes };
    return { blob: await asJpeg(after, rows, quality), ending: "jpg", notes };
  } finally {
    before.close();
    after.close();
  }
}

/** Bands of both, a share of each, in float32 as nafnet-run mixes them. */
async function* mixed(before, after, beyond, strength) {
  const white = after.depth === 16 ? 65535 : 255;
  const [seen, share] = [levels(white), fround(strength)];
  const given = before.rows(BAND);
  const further = beyond ? readBeyond(beyond, after.width * after.stride) : null;
  for await (const { values: made, count } of after.rows(BAND)) {
    const original = (await given.next()).value.values;
    const out = Float32Array.from(made, (value) => seen[value]);
    for (let y = 0; further && y < count; y += 1) put((await further.next()).value, out, y);
    for (let at = 0; at < out.length; at += 1) {
      const from = seen[original[at]];
      out[at] = fround(fround(out[at] - from) * share) + from;
    }
    yield { values: integers(out, white), count };
  }
}

/** Put a row of what lies beyond black and white in its place. */
function put(row, out, y) {
  for (let x = 0; x < row.length; x += 1) if (row[x]) out[y * row.length + x] = row[x];
}

async function asPng(before, { width, height, stride, depth }, rows) {
  const writer = new PngWriter({ width, height, stride, depth, chunks: before.before });
  for await (const { values, count } of rows) await writer.write(values, count);
  const { exif } = await before.metadata();
  return writer.finish(exif ? [chunk("eXIf", exif)] : []);
}

/** By the browser's encoder, which wants the whole picture at once. */
async function asJpeg(after, rows, quality) {
  const { width, height, stride, depth } = after;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  if (!context) throw new PictureError("too large for a JPEG in this browser; choose PNG");
  let y = 0;
  for await (const { values, count } of rows) {
    context.putImageData(rgba(values, width, count, stride, depth), 0, y);
    y += count;
  }
  let blob;
  try {
    blob = await canvas.convertToBlob({ type: "image/jpeg", quality });
  } catch {
    throw new PictureError("too large for a JPEG in this browser; choose PNG");
  }
  const { icc, exif } = await after.metadata();
  const fits = icc && String.fromCharCode(...icc.subarray(16, 20)) === "RGB ";
  return withMetadata(blob, { icc: fits ? icc : null, exif });
}

/** Rows without alpha as a canvas takes them. */
function rgba(values, width, count, stride, depth) {
  const out = new ImageData(width, count);
  const scale = depth === 16 ? 1 / 257 : 1;
  for (let pixel = 0, from = 0; pixel < width * count; pixel += 1, from += stride) {
    for (let channel = 0; channel < 3; channel += 1) {
      out.data[4 * pixel + channel] = values[from + (stride === 1 ? 0 : channel)] * scale;
    }
    out.data[4 * pixel + 3] = 255;
  }
  return out;
}

// A PNG, written row by row: only what is compressed is held. The W3C's recommendation names chunks and filters.
import { crc32 } from "./crc.js";
import { Packer } from "./streams.js";

const SIGNATURE = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
const COLOUR_TYPES = { 1: 0, 2: 4, 3: 2, 4: 6 }; // by the values of a pixel
const IDAT_BYTES = 1 << 18;

/** A chunk: length, type, content, CRC. */
export function chunk(type, content) {
  const bytes = new Uint8Array(content.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set(Array.from(type, (letter) => letter.charCodeAt(0)), 4);
  bytes.set(content, 8);
  view.setUint32(content.length + 8, crc32(bytes.subarray(4, content.length + 8)));
  return bytes;
}

/**
 * Writes a picture.
 *
 * @param width, height in pixels.
 * @param stride values of a pixel: 1 grey, 2 with alpha, 3 RGB, 4 with alpha.
 * @param depth bits of a value, 8 or 16.
 * @param chunks what stands before the pixels, such as a profile, whole.
 */
export class PngWriter {
  constructor({ width, height, stride, depth, chunks = [] }) {
    const header = new Uint8Array(13);
    const view = new DataView(header.buffer);
    view.setUint32(0, width);
    view.setUint32(4, height);
    header.set([depth, COLOUR_TYPES[stride], 0, 0, 0], 8);
    this.parts = [SIGNATURE, chunk("IHDR", header), ...chunks];
    this.step = stride * (depth / 8); // bytes of a pixel
    this.rowBytes = width * this.step;
    this.depth = depth;
    this.above = new Uint8Array(this.rowBytes);
    [this.held, this.size] = [[], 0];
    this.packer = new Packer("deflate", (bytes) => this.take(bytes));
  }

  /** Take the next rows, Uint8Array or Uint16Array of count x width x stride. */
  async write(values, count) {
    const filtered = new Uint8Array(count * (this.rowBytes + 1));
    const bytes = this.depth === 8 ? values : bigEndian(values);
    for (let y = 0; y < count; y += 1) {
      const row = bytes.subarray(y * this.rowBytes, (y + 1) * this.rowBytes);
      filter(row, this.above, this.step, filtered.subarray(y * (this.rowBytes + 1), (y + 1) * (this.rowBytes + 1)));
      this.above.set(row);
    }
    await this.packer.write(filtered);
  }

  /** The file, a Blob; `after` holds chunks that stand behind the pixels. */
  async finish(after = []) {
    await this.packer.finish();
    this.flush();
    return new Blob([...this.parts, ...after, chunk("IEND", new Uint8Array(0))], { type: "image/png" });
  }

  /** Let go of what was begun. */
  abort() {
    return this.packer.abort();
  }

  /** What is packed becomes chunks. Each goes into a Blob, which a browser may keep on the disk. */
  take(bytes) {
    this.held.push(bytes);
    this.size += bytes.length;
    if (this.size >= IDAT_BYTES) this.flush();
  }

  flush() {
    if (this.size) this.parts.push(new Blob([chunk("IDAT", joined(this.held, this.size))]));
    [this.held, this.size] = [[], 0];
  }
}

function joined(pieces, size) {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

function bigEndian(values) {
  const bytes = new Uint8Array(values.length * 2);
  for (let index = 0; index < values.length; index += 1) {
    bytes[2 * index] = values[index] >> 8;
    bytes[2 * index + 1] = values[index] & 255;
  }
  return bytes;
}

/** One row behind the number of its filter: Paeth's, or the row above where that leaves less, by the sum of bytes. */
function filter(row, above, step, out) {
  const paeth = new Uint8Array(row.length);
  let [sumPaeth, sumUp] = [0, 0];
  for (let x = 0; x < row.length; x += 1) {
    const left = x < step ? 0 : row[x - step];
    const corner = x < step ? 0 : above[x - step];
    const up = (row[x] - above[x]) & 255;
    paeth[x] = row[x] - predicted(left, above[x], corner);
    out[x + 1] = up;
    sumPaeth += paeth[x] < 128 ? paeth[x] : 256 - paeth[x];
    sumUp += up < 128 ? up : 256 - up;
  }
  out[0] = sumPaeth < sumUp ? 4 : 2;
  if (sumPaeth < sumUp) out.set(paeth, 1);
}

/** Of left, above and the corner between them, the one nearest to left + above - corner. */
export function predicted(left, up, corner) {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

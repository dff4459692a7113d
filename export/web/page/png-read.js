// A PNG read row by row, in its own depth and with its own alpha, neither of which a canvas keeps. Not for interlaced
// ones, which have no rows. The W3C's recommendation names chunks, filters and colour types.
import { crc32 } from "./crc.js";
import { predicted } from "./png-write.js";
import { pieces } from "./streams.js";

const VALUES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }; // of a pixel as it is stored, by colour type
const MOST_CHUNK = 1 << 30;

/** A picture that cannot be read; the message is for the user. */
export class PictureError extends Error {}

/** Takes so many bytes from a file at a time. */
class ByteReader {
  constructor(file) {
    Object.assign(this, { reader: file.stream().getReader(), held: new Uint8Array(0) });
  }

  async take(count) {
    const out = new Uint8Array(count);
    for (let filled = 0; filled < count; ) {
      if (!this.held.length) {
        const next = await this.reader.read();
        if (next.done) throw new PictureError("the file is cut short");
        this.held = next.value;
      }
      const part = this.held.subarray(0, count - filled);
      out.set(part, filled);
      this.held = this.held.subarray(part.length);
      filled += part.length;
    }
    return out;
  }

  close() {
    this.reader.cancel().catch(() => {});
  }
}

/** A PNG, once `open` has read what stands before its pixels. */
export class PngReader {
  constructor(file) {
    Object.assign(this, { bytes: new ByteReader(file), chunks: {}, animated: false });
  }

  /** Read up to the pixels; gives this. */
  async open() {
    await this.bytes.take(8);
    for (;;) {
      const { type, content } = await this.chunk();
      if (type === "IDAT") {
        this.first = content;
        break;
      }
      if (type === "acTL") this.animated = true;
      this.chunks[type] ??= content;
    }
    if (!this.chunks.IHDR || this.chunks.IHDR.length < 13) throw new PictureError("the PNG has no header");
    const header = new DataView(this.chunks.IHDR.buffer);
    [this.width, this.height] = [header.getUint32(0), header.getUint32(4)];
    [this.bits, this.type, , , this.interlaced] = this.chunks.IHDR.subarray(8);
    if (!(this.type in VALUES) || !this.width || !this.height) throw new PictureError("the PNG's header is damaged");
    const key = this.chunks.tRNS;
    this.channels = this.type === 0 || this.type === 4 ? 1 : 3;
    this.stride = this.channels + (this.type === 4 || this.type === 6 || key ? 1 : 0);
    this.depth = this.bits === 16 ? 16 : 8;
    return this;
  }

  /** Bands of at most `most` rows: { values, count }, Uint8Array or Uint16Array of count x width x stride. */
  async *rows(most) {
    const rowBytes = Math.ceil((this.width * this.bits * VALUES[this.type]) / 8);
    const step = Math.max((this.bits * VALUES[this.type]) / 8, 1);
    const pixels = this.pixels(rowBytes + 1);
    const unpack = this.unpacker();
    let above = new Uint8Array(rowBytes);
    for (let y = 0; y < this.height; y += most) {
      const count = Math.min(most, this.height - y);
      const size = count * this.width * this.stride;
      const values = this.depth === 16 ? new Uint16Array(size) : new Uint8Array(size);
      for (let index = 0; index < count; index += 1) {
        const { value, done } = await pixels.next();
        if (done) throw new PictureError("the file is cut short");
        unfilter(value, above, Math.floor(step));
        above = value.subarray(1);
        unpack(above, values, index * this.width * this.stride);
      }
      yield { values, count };
    }
    for (let next = await pixels.next(); !next.done; next = await pixels.next());
    await this.rest();
  }

  /** Let go of the file. */
  close() {
    this.bytes.close();
  }

  async chunk() {
    const head = await this.bytes.take(8);
    const length = new DataView(head.buffer).getUint32(0);
    const type = String.fromCharCode(...head.subarray(4));
    if (length > MOST_CHUNK) throw new PictureError("the PNG is damaged");
    const content = await this.bytes.take(length);
    const sum = new DataView((await this.bytes.take(4)).buffer).getUint32(0);
    if (crc32(content, crc32(head.subarray(4))) !== sum) throw new PictureError("the PNG is damaged");
    return { type, content };
  }

  /** What stands behind the pixels. */
  async rest() {
    await this.pumped;
    for (let next = this.after; next.type !== "IEND"; next = await this.chunk()) {
      this.chunks[next.type] ??= next.content;
    }
  }

  /** The rows as they are stored, each with its filter's number. */
  async *pixels(size) {
    const stream = new DecompressionStream("deflate");
    this.pumped = this.pump(stream.writable.getWriter());
    this.pumped.catch(() => {}); // its error is the reader's, too
    try {
      yield* pieces(stream.readable, size);
    } catch (error) {
      throw error instanceof PictureError ? error : new PictureError("the PNG is damaged");
    }
  }

  async pump(writer) {
    try {
      let content = this.first;
      while (content) {
        await writer.write(content);
        const next = await this.chunk();
        content = next.type === "IDAT" ? next.content : null;
        if (!content) this.after = next;
      }
      await writer.close();
    } catch (error) {
      await writer.abort(error);
      throw error;
    }
  }

  /** From a stored row to values. */
  unpacker() {
    const { width, stride, bits, type } = this;
    const stored = VALUES[type];
    const key = this.chunks.tRNS;
    if (type === 3) return palette(this);
    const most = 2 ** Math.min(bits, 16) - 1;
    const scale = bits < 8 ? 255 / most : 1;
    const read = reading(bits);
    const keyed = key && stride > stored;
    const clear = keyed ? Array.from({ length: stored }, (_, at) => (key[2 * at] << 8) | key[2 * at + 1]) : null;
    const white = bits === 16 ? 65535 : 255;
    return (row, out, offset) => {
      for (let x = 0; x < width; x += 1) {
        let matches = clear !== null;
        for (let channel = 0; channel < stored; channel += 1) {
          const value = read(row, x * stored + channel);
          matches &&= value === clear[channel];
          out[offset + x * stride + channel] = value * scale;
        }
        if (clear) out[offset + x * stride + stored] = matches ? 0 : white;
      }
    };
  }
}

/** The value of an index in a row of values of so many bits. */
function reading(bits) {
  if (bits === 8) return (row, index) => row[index];
  if (bits === 16) return (row, index) => (row[2 * index] << 8) | row[2 * index + 1];
  const each = 8 / bits;
  return (row, index) => (row[Math.floor(index / each)] >> (8 - bits * ((index % each) + 1))) & (2 ** bits - 1);
}

function palette({ width, stride, bits, chunks }) {
  const colours = chunks.PLTE;
  if (!colours) throw new PictureError("the PNG has no palette");
  const read = reading(bits);
  return (row, out, offset) => {
    for (let x = 0; x < width; x += 1) {
      const index = read(row, x);
      const at = offset + x * stride;
      for (let channel = 0; channel < 3; channel += 1) out[at + channel] = colours[3 * index + channel];
      if (stride === 4) out[at + 3] = chunks.tRNS[index] ?? 255;
    }
  };
}

/** Undo the filter of a row, which its first byte names, in place. */
function unfilter(row, above, step) {
  const filter = row[0];
  for (let x = 0; x < above.length; x += 1) {
    const left = x < step ? 0 : row[x + 1 - step];
    const corner = x < step ? 0 : above[x - step];
    if (filter === 1) row[x + 1] += left;
    else if (filter === 2) row[x + 1] += above[x];
    else if (filter === 3) row[x + 1] += (left + above[x]) >> 1;
    else if (filter === 4) row[x + 1] += predicted(left, above[x], corner);
  }
}

// Bytes that are packed and unpacked on the way, so that what is held is small.

/** Packs what is written, in zlib's format or, "deflate-raw", without its frame; holds only what is packed. */
export class Packer {
  /** @param take called with each packed piece, Uint8Array. */
  constructor(format, take) {
    const stream = new CompressionStream(format);
    this.input = stream.writable.getWriter();
    this.done = drained(stream.readable.getReader(), take);
    this.done.catch(() => {}); // whoever finishes hears of it
  }

  write(bytes) {
    return this.input.write(bytes);
  }

  async finish() {
    await this.input.close();
    await this.done;
  }

  async abort() {
    await this.input.abort().catch(() => {});
  }
}

async function drained(reader, take) {
  for (let next = await reader.read(); !next.done; next = await reader.read()) take(next.value);
}

/** Pieces of exactly `size` bytes of a stream, each of its own memory; what is left at the end is not given. */
export async function* pieces(readable, size) {
  const reader = readable.getReader();
  let [held, at] = [new Uint8Array(0), 0];
  try {
    for (;;) {
      const piece = new Uint8Array(size);
      for (let filled = 0; filled < size; ) {
        if (at === held.length) {
          const next = await reader.read();
          if (next.done) return;
          [held, at] = [next.value, 0];
        }
        const part = held.subarray(at, at + size - filled);
        piece.set(part, filled);
        filled += part.length;
        at += part.length;
      }
      yield piece;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

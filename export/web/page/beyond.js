// What a network made beyond black and white. A file cannot hold it, and a share of it is wanted all the same where the
// original is mixed in. There is little of it, so it is kept beside the result: float32, zero where there is none.
import { Packer, pieces } from "./streams.js";

/** Takes the rows of a result; gives a Blob of what lies beyond, or null. */
export class BeyondWriter {
  constructor() {
    this.parts = [];
    this.isEmpty = true;
    this.packer = new Packer("deflate-raw", (bytes) => this.parts.push(new Blob([bytes])));
  }

  /** The next rows, Float32Array, as the file has its values. */
  write(values) {
    const beyond = values.map((value) => (value < 0 || value > 1 ? value : 0));
    this.isEmpty &&= beyond.every((value) => value === 0);
    return this.packer.write(new Uint8Array(beyond.buffer));
  }

  async finish() {
    await this.packer.finish();
    return this.isEmpty ? null : new Blob(this.parts);
  }

  abort() {
    return this.packer.abort();
  }
}

/** Float32Arrays of `size` values each, of such a Blob. */
export async function* readBeyond(blob, size) {
  const stream = blob.stream().pipeThrough(new DecompressionStream("deflate-raw"));
  for await (const piece of pieces(stream, 4 * size)) yield new Float32Array(piece.buffer);
}

// A picture that comes in bands of rows becomes tiles, and restored tiles become rows again. Neither holds more than a
// row of tiles. All arithmetic is that of float32, step by step, as NumPy does it.
import { ramp, reflected } from "./plan.js";

const { fround } = Math;

/** The values of 0 to `white` as the network takes them, in [0, 1]. */
export function levels(white) {
  const scale = fround(1 / white);
  return Float32Array.from({ length: white + 1 }, (_, value) => fround(value * scale));
}

/**
 * Cuts a picture of integers, whose rows are handed over from the top, into tiles for the network.
 *
 * @param plan of `planTiles`.
 * @param channels colour channels of the picture, 1 or 3; a single one is repeated.
 * @param stride values of a pixel, alpha among them.
 * @param white the greatest value.
 */
export class TileCutter {
  constructor(plan, channels, stride, white) {
    Object.assign(this, { plan, channels, stride, levels: levels(white) });
    this.held = []; // bands { first, count, values }
    this.end = 0;
    this.row = 0;
  }

  /** Take the next rows, an array of count x width x stride; returns how many rows of tiles are complete with them. */
  feed(values, count) {
    this.held.push({ first: this.end, count, values });
    this.end += count;
    const { starts, tile, length } = this.plan.rows;
    let complete = 0;
    while (this.row + complete < starts.length && this.end >= Math.min(starts[this.row + complete] + tile, length)) {
      complete += 1;
    }
    return complete;
  }

  /** The tile of a column in the row of tiles at hand, Float32Array of 3 x h x w. */
  tile(column) {
    const { rows, columns } = this.plan;
    const [top, left] = [rows.starts[this.row], columns.starts[column]];
    const [height, width] = [rows.tile, columns.tile];
    const out = new Float32Array(3 * height * width);
    const places = Int32Array.from({ length: width }, (_, x) => (left + reflected(x, columns.length)) * this.stride);
    for (let y = 0; y < height; y += 1) {
      const { values, offset } = this.rowOf(top + reflected(y, rows.length));
      for (let channel = 0; channel < 3; channel += 1) {
        const from = offset + (this.channels === 1 ? 0 : channel);
        const to = (channel * height + y) * width;
        for (let x = 0; x < width; x += 1) out[to + x] = this.levels[values[from + places[x]]];
      }
    }
    return out;
  }

  /** Go to the next row of tiles, and let go of what lies above it. */
  next() {
    this.row += 1;
    const top = this.plan.rows.starts[this.row] ?? Infinity;
    this.held = this.held.filter((band) => band.first + band.count > top);
  }

  rowOf(y) {
    const band = this.held.find(({ first, count }) => first <= y && y < first + count);
    return { values: band.values, offset: (y - band.first) * this.plan.columns.length * this.stride };
  }
}

/**
 * Puts restored tiles together, a row of tiles at a time; holds one strip, and the rows that the next one will change.
 *
 * @param plan of `planTiles`.
 * @param channels of each tile, 1 or 3.
 */
export class TileBlender {
  constructor(plan, channels) {
    Object.assign(this, { plan, channels, row: 0, column: 0, filled: 0, waiting: 0 });
    this.size = plan.rows.tile * plan.columns.length; // of a channel
    this.strip = new Float32Array(channels * this.size);
    this.pending = new Float32Array(channels * this.size);
  }

  /**
   * Take the next tile, Float32Array of channels x h x w, in row-major order of the tiles. Gives rows that are finished,
   * { values, size, count }: row y of a channel begins at channel * size + y * width. They stand until the next tile.
   */
  add(tile) {
    const { rows, columns } = this.plan;
    this.lay(tile, columns.starts[this.column]);
    this.column += 1;
    if (this.column < columns.starts.length) return null;
    const top = rows.starts[this.row];
    this.row += 1;
    const last = this.row === rows.starts.length;
    const count = (last ? rows.length : rows.starts[this.row]) - top;
    this.column = 0;
    this.filled = 0;
    this.blendBelow();
    this.waiting = last ? 0 : rows.tile - count;
    this.keep(count);
    return { values: this.strip, size: this.size, count };
  }

  /** Lay a tile on the strip from a column on, blended with what lies there. */
  lay(tile, left) {
    const { rows, columns } = this.plan;
    const width = columns.length;
    const end = Math.min(left + columns.tile, width);
    const shared = Math.max(this.filled - left, 0);
    const weights = ramp(shared);
    for (let channel = 0; channel < this.channels; channel += 1) {
      for (let y = 0; y < rows.tile; y += 1) {
        const to = channel * this.size + y * width + left;
        const from = (channel * rows.tile + y) * columns.tile;
        blend(this.strip, to, this.strip, to, tile, from, shared, (x) => weights[x]);
        this.strip.set(tile.subarray(from + shared, from + end - left), to + shared);
      }
    }
    this.filled = end;
  }

  /** Blend the strip's upper rows with those that waited for it. */
  blendBelow() {
    const width = this.plan.columns.length;
    const weights = ramp(this.waiting);
    for (let channel = 0; channel < this.channels; channel += 1) {
      for (let y = 0; y < this.waiting; y += 1) {
        const at = channel * this.size + y * width;
        blend(this.strip, at, this.pending, at, this.strip, at, width, () => weights[y]);
      }
    }
  }

  /** Keep the rows from `count` on, which the next strip will change. */
  keep(count) {
    const width = this.plan.columns.length;
    for (let channel = 0; channel < this.channels; channel += 1) {
      const first = channel * this.size + count * width;
      this.pending.set(this.strip.subarray(first, first + this.waiting * width), channel * this.size);
    }
  }
}

/** out = old + weight * (later - old), in float32 at every step. */
function blend(out, to, old, at, later, from, count, weight) {
  for (let x = 0; x < count; x += 1) {
    const before = old[at + x];
    out[to + x] = before + fround(fround(later[from + x] - before) * weight(x));
  }
}

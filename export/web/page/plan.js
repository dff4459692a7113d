// Where the tiles of a picture lie, and how neighbours are weighed: the same as nafnet/tiling.py, which says why.

/** The tiles along one axis: { length, tile, starts }, in pixels. */
function planAxis(length, tile, overlap, multiple) {
  if (length <= tile) return { length, tile: Math.ceil(length / multiple) * multiple, starts: [0] };
  const count = Math.ceil((length - overlap) / (tile - overlap));
  const needed = Math.ceil((length + (count - 1) * overlap) / count);
  const side = Math.min(Math.ceil(needed / multiple) * multiple, tile);
  const free = length - side;
  const starts = Array.from({ length: count }, (_, index) => Math.floor((index * free) / (count - 1)));
  return { length, tile: side, starts };
}

/** A grid of equal tiles, in row-major order: { rows, columns, count }. `fixed`: every tile is of the full size. */
export function planTiles(height, width, { tile, overlap, multiple, fixed = false }) {
  const step = fixed ? tile : multiple;
  const rows = planAxis(height, tile, overlap, step);
  const columns = planAxis(width, tile, overlap, step);
  return { rows, columns, count: rows.starts.length * columns.starts.length };
}

/** The weight of the later of two tiles across the pixels that they share: half a cosine, Float32Array. */
export function ramp(length) {
  return Float32Array.from({ length }, (_, index) => (1 - Math.cos((Math.PI * (index + 0.5)) / length)) / 2);
}

/** Where a pixel outside of a row of `length` is taken from: reflected, as often as it must be. */
export function reflected(index, length) {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const place = index % period;
  return place < length ? place : period - place;
}

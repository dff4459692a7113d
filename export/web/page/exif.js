// EXIF as a TIFF block: what it says of the picture's position and size is made true of the restored one.

const ORIENTATION = 0x0112;
const EXIF_DIRECTORY = 0x8769;
const SIZES = { 0xa002: "width", 0xa003: "height" };
const SHORT = 3;
const MOST_ENTRIES = 1000;

/**
 * A copy whose orientation is upright and whose size is that of the picture; null where it is no TIFF block.
 *
 * @param block Uint8Array, from the letters of its byte order on.
 */
export function uprightExif(block, width, height) {
  const bytes = block.slice();
  const view = new DataView(bytes.buffer);
  const order = bytes.length >= 8 ? view.getUint16(0) : 0;
  if (order !== 0x4949 && order !== 0x4d4d) return null;
  const little = order === 0x4949;
  if (view.getUint16(2, little) !== 42) return null;

  /** Go through a directory; returns where the next one is. */
  function walk(at, visit) {
    if (!at || at + 2 > bytes.length) return 0;
    const count = view.getUint16(at, little);
    const end = at + 2 + 12 * count;
    if (count > MOST_ENTRIES || end + 4 > bytes.length) return 0;
    for (let entry = at + 2; entry < end; entry += 12) {
      visit(view.getUint16(entry, little), view.getUint16(entry + 2, little), entry + 8);
    }
    return view.getUint32(end, little);
  }

  let inner = 0;
  const upright = (tag, type, at) => {
    if (tag === ORIENTATION && type === SHORT) view.setUint16(at, 1, little);
    if (tag === EXIF_DIRECTORY) inner = view.getUint32(at, little);
  };
  const thumbnail = walk(view.getUint32(4, little), upright);
  const exif = inner;
  walk(thumbnail, upright);
  walk(exif, (tag, type, at) => {
    if (!(tag in SIZES)) return;
    const size = SIZES[tag] === "width" ? width : height;
    if (type === SHORT) view.setUint16(at, Math.min(size, 65535), little);
    else view.setUint32(at, size, little);
  });
  return bytes;
}

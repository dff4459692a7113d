// What a WebP says beside its pixels. Chunks after Google's "WebP Container Specification".

const ANIMATION = 2;
const MOST_METADATA = 1 << 24;

/** { icc, exif, animated } of a WebP; null where there is none. */
export async function readWebpHead(file) {
  const found = { icc: null, exif: null, animated: false };
  for (let at = 12; at + 8 <= file.size; ) {
    const head = new DataView(await file.slice(at, at + 8).arrayBuffer());
    const type = String.fromCharCode(...new Uint8Array(head.buffer, 0, 4));
    const size = head.getUint32(4, true);
    if (size <= MOST_METADATA && ["VP8X", "ICCP", "EXIF"].includes(type)) {
      const content = new Uint8Array(await file.slice(at + 8, at + 8 + size).arrayBuffer());
      if (type === "VP8X") found.animated = Boolean(content[0] & ANIMATION);
      if (type === "ICCP") found.icc = content;
      if (type === "EXIF") found.exif = withoutName(content);
    }
    at += 8 + size + (size & 1);
  }
  return found;
}

/** Some writers put JPEG's name before the block. */
function withoutName(content) {
  return content[0] === 0x45 && content[1] === 0x78 ? content.subarray(6) : content;
}

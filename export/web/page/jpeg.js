// The segments of a JPEG: read from a photograph, and put into one that the browser has encoded.

const EXIF = "Exif\0\0";
const ICC = "ICC_PROFILE\0";
const MOST_IN_SEGMENT = 65533;
const HEAD_BYTES = 1 << 24; // within which all segments lie that stand before the pixels

/** What a JPEG says before its pixels: { exif, icc, components }; null where there is none. */
export async function readJpegHead(file) {
  const bytes = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  const found = { exif: null, icc: null, components: 3 };
  const profile = [];
  for (const { marker, content } of segments(bytes)) {
    if (marker === 0xe1 && startsWith(content, EXIF)) found.exif ??= content.slice(EXIF.length);
    if (marker === 0xe2 && startsWith(content, ICC)) profile[content[ICC.length]] = content.subarray(ICC.length + 2);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) [found.height, found.width, found.components] = [word(content, 1), word(content, 3), content[5]];
  }
  const parts = profile.filter(Boolean);
  if (parts.length) found.icc = new Uint8Array(await new Blob(parts).arrayBuffer());
  return found;
}

/** A JPEG with a profile and EXIF in it; without what it had of these. */
export async function withMetadata(blob, { icc, exif }) {
  const head = new Uint8Array(await blob.slice(0, HEAD_BYTES).arrayBuffer());
  let start = 2;
  const kept = [];
  for (const { marker, at, end } of segments(head)) {
    if (marker < 0xe0 || marker > 0xef) break;
    // A profile of the browser's own would not be that of the values.
    if (marker === 0xe0 || marker === 0xee) kept.push(head.subarray(at, end));
    start = end;
  }
  const added = [];
  if (exif && exif.length + EXIF.length + 2 <= MOST_IN_SEGMENT) added.push(segment(0xe1, [ascii(EXIF), exif]));
  const room = MOST_IN_SEGMENT - 2 - ICC.length - 2;
  const count = icc ? Math.ceil(icc.length / room) : 0;
  for (let index = 0; index < count; index += 1) {
    const part = icc.subarray(index * room, (index + 1) * room);
    added.push(segment(0xe2, [ascii(ICC), Uint8Array.of(index + 1, count), part]));
  }
  return new Blob([Uint8Array.of(0xff, 0xd8), ...kept, ...added, blob.slice(start)], { type: "image/jpeg" });
}

/** Each segment before the pixels: its marker, its content, and where it lies. */
function* segments(bytes) {
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    if (marker === 0xda || marker === 0xd9) return;
    const end = at + 2 + word(bytes, at + 2);
    if (end > bytes.length || end < at + 4) return;
    yield { marker, content: bytes.subarray(at + 4, end), at, end };
    at = end;
  }
}

function segment(marker, parts) {
  const size = 2 + parts.reduce((sum, part) => sum + part.length, 0);
  return new Blob([Uint8Array.of(0xff, marker, size >> 8, size & 255), ...parts]);
}

function word(bytes, at) {
  return (bytes[at] << 8) | bytes[at + 1];
}

function ascii(text) {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

function startsWith(bytes, text) {
  return ascii(text).every((code, index) => bytes[index] === code);
}

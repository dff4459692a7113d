// A zip of files as they are: photographs do not get smaller. Fields after PKWARE's APPNOTE; names are UTF-8.
import { crc32 } from "./crc.js";

const MOST_BYTES = 2 ** 32 - 1;
const MOST_FILES = 65535;
const UTF8 = 0x0800;
const VERSION = 20;

/** A Blob of `files`, each { name, blob }; no two names may be alike. Throws RangeError beyond 4 GB. */
export async function zipped(files, when = new Date()) {
  const [parts, directory] = [[], []];
  let [offset, size] = [0, 0];
  for (const { name, blob } of files) {
    const entry = { name: new TextEncoder().encode(name), crc: await crcOf(blob), size: blob.size, offset, when };
    const head = localHead(entry);
    const listed = listing(entry);
    parts.push(head, blob);
    directory.push(listed);
    offset += head.length + blob.size;
    size += listed.length;
  }
  if (offset + size > MOST_BYTES || files.length > MOST_FILES) {
    throw new RangeError("more than 4 GB, which a zip of this kind cannot hold; download them one by one");
  }
  const end = fields([[4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** Names made unlike: "a.png" and "a.png" become "a.png" and "a (2).png", whatever the case of their letters. */
export function unlike(names) {
  const taken = new Set();
  return names.map((name) => {
    const dot = name.lastIndexOf(".");
    let [given, count] = [name, 1];
    while (taken.has(given.toLowerCase())) {
      count += 1;
      given = `${name.slice(0, dot)} (${count})${name.slice(dot)}`;
    }
    taken.add(given.toLowerCase());
    return given;
  });
}

async function crcOf(blob) {
  let crc = 0;
  const reader = blob.stream().getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) crc = crc32(next.value, crc);
  return crc;
}

function common({ name, crc, size, when }) {
  const time = (when.getHours() << 11) | (when.getMinutes() << 5) | (when.getSeconds() >> 1);
  const date = ((when.getFullYear() - 1980) << 9) | ((when.getMonth() + 1) << 5) | when.getDate();
  return [[2, VERSION], [2, UTF8], [2, 0], [2, time], [2, date], [4, crc], [4, size], [4, size], [2, name.length], [2, 0]];
}

function localHead(entry) {
  return joined(fields([[4, 0x04034b50], ...common(entry)]), entry.name);
}

function listing(entry) {
  const rest = [[2, 0], [2, 0], [2, 0], [4, 0], [4, entry.offset]];
  return joined(fields([[4, 0x02014b50], [2, VERSION], ...common(entry), ...rest]), entry.name);
}

/** Numbers of so many bytes, the least first. */
function fields(list) {
  const bytes = new Uint8Array(list.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of list) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

function joined(head, name) {
  const bytes = new Uint8Array(head.length + name.length);
  bytes.set(head);
  bytes.set(name, head.length);
  return bytes;
}

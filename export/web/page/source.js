// A photograph as rows of values: PNG by our own reader, all else by the browser's decoder, without colour management,
// so that the values are the file's own and its profile stays true of them.
import { uprightExif } from "./exif.js";
import { readJpegHead } from "./jpeg.js";
import { chunk } from "./png-write.js";
import { PictureError, PngReader } from "./png-read.js";
import { readWebpHead } from "./webp.js";

const MOST_PIXELS = 2 ** 28;
const OF_COLOUR = ["cHRM", "gAMA", "sRGB", "cICP", "pHYs"]; // chunks of a PNG that say what its values and pixels are
const SRGB_GAMMA = 45455; // as gAMA has it
const KINDS = [
  ["png", [0x89, 0x50, 0x4e, 0x47]], ["jpeg", [0xff, 0xd8, 0xff]], ["webp", [0x52, 0x49, 0x46, 0x46]],
  ["bmp", [0x42, 0x4d]], ["gif", [0x47, 0x49, 0x46]], ["tiff", [0x49, 0x49, 0x2a]], ["tiff", [0x4d, 0x4d, 0]],
];

/**
 * The photograph in a file: { width, height, channels, stride, depth, rows(most), close(), metadata(), before, notes }.
 * Of a pixel there are `stride` values, alpha among them; `before` holds chunks for a PNG of it. What `metadata` gives is
 * true of these rows: the browser's decoder turns them upright, our own leaves them, and EXIF, as they are.
 */
export async function openSource(file) {
  const head = new Uint8Array(await file.slice(0, 16).arrayBuffer());
  const kind = KINDS.find(([, start]) => start.every((byte, index) => head[index] === byte))?.[0] ?? "other";
  if (kind === "gif" || kind === "tiff") {
    throw new PictureError(`${kind.toUpperCase()} is for nafnet-run; choose a PNG or a JPEG`);
  }
  if (kind === "png") {
    const png = await new PngReader(file).open();
    refuse(png.animated, png.width, png.height);
    if (!png.interlaced) return pngSource(png);
    png.close();
    return decoded(file, await pngMetadata(png), { mayHaveAlpha: true });
  }
  if (kind === "jpeg") {
    const found = await readJpegHead(file);
    refuse(false, found.width, found.height);
    return decoded(file, found, { channels: found.components === 1 ? 1 : 3 });
  }
  const webp = kind === "webp" ? await readWebpHead(file) : null;
  refuse(webp?.animated ?? String.fromCharCode(...head.subarray(8, 12)) === "avis");
  const notes = webp || kind === "bmp" ? [] : ["its EXIF and colour profile are not kept"];
  return decoded(file, webp ?? { icc: null, exif: null }, { mayHaveAlpha: kind !== "bmp", notes });
}

function refuse(animated, width = 0, height = 0) {
  if (animated) throw new PictureError("it has several frames; choose a still picture, or nafnet-run");
  if (width * height > MOST_PIXELS) throw new PictureError(`${width} x ${height} pixels are too many for a browser`);
}

async function pngSource(png) {
  const { iCCP, gAMA, sRGB, cICP } = png.chunks;
  const before = OF_COLOUR.filter((type) => png.chunks[type]).map((type) => chunk(type, png.chunks[type]));
  if (iCCP) before.unshift(chunk("iCCP", iCCP));
  const gamma = gAMA ? new DataView(gAMA.buffer).getUint32(0) : SRGB_GAMMA;
  const other = cICP ? ![1, 6, 13].includes(cICP[1]) : !iCCP && !sRGB && Math.abs(gamma / SRGB_GAMMA - 1) > 0.05;
  const notes = other ? ["its tone curve is not sRGB's, which the network expects: nafnet-run does better"] : [];
  const { width, height, channels, stride, depth } = png;
  return {
    width, height, channels, stride, depth, before, notes,
    rows: (most) => png.rows(most),
    metadata: () => pngMetadata(png),
    close: () => png.close(),
  };
}

/** { icc, exif } of a PNG that has been read; EXIF may stand behind the pixels. */
async function pngMetadata({ chunks }) {
  let icc = null;
  if (chunks.iCCP) {
    const packed = chunks.iCCP.subarray(chunks.iCCP.indexOf(0) + 2);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    icc = await new Response(stream).arrayBuffer().then((bytes) => new Uint8Array(bytes), () => null);
  }
  return { icc, exif: chunks.eXIf ?? null };
}

/** By the browser's decoder. */
async function decoded(file, { icc, exif }, { channels = 3, mayHaveAlpha = false, notes = [] }) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image",
    });
  } catch {
    throw new PictureError("this browser cannot read it: it is damaged, or no photograph");
  }
  const { width, height } = bitmap;
  refuse(false, width, height);
  const strips = (most) => canvasStrips(bitmap, most);
  let stride = channels;
  if (mayHaveAlpha) {
    for (const { data } of strips(256)) {
      if (!isClear(data)) continue;
      stride = 4;
      break;
    }
  }
  const fits = icc && String.fromCharCode(...icc.subarray(16, 20)) === (channels === 1 ? "GRAY" : "RGB ");
  if (icc && !fits) notes = [...notes, "the browser made RGB of it, so its profile is not kept"];
  const profile = fits ? icc : null;
  const before = profile ? [await iccChunk(profile)] : [];
  return {
    width, height, channels, stride, depth: 8, before, notes,
    async *rows(most) {
      for (const { data, count } of strips(most)) yield { values: picked(data, stride), count };
    },
    metadata: async () => ({ icc: profile, exif: exif && uprightExif(exif, width, height) }),
    close: () => bitmap.close(),
  };
}

/** RGBA of a bitmap, a strip of rows at a time. */
function* canvasStrips(bitmap, most) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, Math.min(most, height));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.globalCompositeOperation = "copy";
  for (let y = 0; y < height; y += most) {
    const count = Math.min(most, height - y);
    context.drawImage(bitmap, 0, y, width, count, 0, 0, width, count);
    yield { data: context.getImageData(0, 0, width, count).data, count };
  }
}

function isClear(data) {
  for (let at = 3; at < data.length; at += 4) if (data[at] < 255) return true;
  return false;
}

/** The first values of each pixel of RGBA. */
function picked(data, stride) {
  if (stride === 4) return data;
  const out = new Uint8Array((data.length / 4) * stride);
  for (let from = 0, to = 0; from < data.length; from += 4, to += stride) {
    for (let channel = 0; channel < stride; channel += 1) out[to + channel] = data[from + channel];
  }
  return out;
}

/** A profile as a PNG has it: a name, a zero, the method, and zlib's stream. */
async function iccChunk(icc) {
  const stream = new Blob([icc]).stream().pipeThrough(new CompressionStream("deflate"));
  const packed = new Uint8Array(await new Response(stream).arrayBuffer());
  const content = new Uint8Array(packed.length + 5);
  content.set([0x69, 0x63, 0x63, 0, 0]);
  content.set(packed, 5);
  return chunk("iCCP", content);
}

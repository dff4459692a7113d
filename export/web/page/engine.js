// What runs the model in this browser: the first of the candidates that gives what PyTorch gives for the known picture.
import { judge, knownTile } from "./known.js";

const LIBRARY = new URL("onnxruntime-web/", import.meta.url).href;
const MODULES = { webgpu: "ort.webgpu.min.mjs", wasm: "ort.wasm.min.mjs" };
const MOST_THREADS = 8; // beyond these a tile gains next to nothing
// Two of what a browser counts as processors are mostly one core; threads that wait for each other only hinder.
const THREADS = Math.min(Math.ceil((navigator.hardwareConcurrency || 1) / 2), MOST_THREADS);

/** Another backend than the one at hand is wanted, or none is right. */
export class EngineError extends Error {}

/** What may be tried here, best first: { backend, model }. `wanted` is webgpu or wasm where the address says so. */
export async function candidates(models, wanted) {
  const full = models.find((model) => model.spec.precision === "fp32");
  const half = models.find((model) => model.spec.precision === "fp16");
  const found = [];
  const adapter = wanted === "wasm" ? null : await graphics();
  // A software adapter computes right, and far slower than WASM does on the same processor.
  if (adapter && (wanted === "webgpu" || !isSoftware(adapter))) {
    if (half && adapter.features.has("shader-f16")) found.push({ backend: "webgpu", model: half });
    if (full) found.push({ backend: "webgpu", model: full });
  }
  if (wanted !== "webgpu") found.push({ backend: "wasm", model: full ?? half });
  return found;
}

async function graphics() {
  try {
    return (await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" })) ?? null;
  } catch {
    return null;
  }
}

function isSoftware(adapter) {
  return adapter.info?.isFallbackAdapter || adapter.isFallbackAdapter || adapter.info?.architecture === "swiftshader";
}

/**
 * The engine: { run(tile, height, width), backend, precision, threads, psnr, largest, refused }, once it is known to be
 * right. `refused` holds what each candidate before it was turned down for.
 *
 * @param card of `model.json`.
 * @param wanted what the address asks for: { backend, threads }; by default what is best here.
 * @param tell told in words what is being done.
 */
export async function chooseEngine(card, wanted, tell) {
  const refused = [];
  for (const candidate of await candidates(card.models, wanted.backend)) {
    const name = `${candidate.backend === "webgpu" ? "WebGPU" : "WASM"} in ${candidate.model.spec.precision}`;
    try {
      tell(`Loading the model for ${name}`);
      const engine = await started(candidate, wanted.threads);
      tell(`Checking ${name} against PyTorch`);
      const made = await engine.run(knownTile(card.known), card.known.side, card.known.side);
      const found = candidate.model.spec.answer ? judge(card.known, candidate.model, made) : { refused: null };
      if (found.refused === null) return { ...engine, ...found, name, refused };
      refused.push(`${name}: ${found.refused}`);
      await engine.release();
    } catch (error) {
      refused.push(`${name}: ${error.message ?? error}`);
    }
  }
  throw new EngineError(`This browser cannot run the model as PyTorch does. ${refused.join("; ") || "It has no WebGPU."}`);
}

/** A session of one candidate. */
async function started({ backend, model }, wantedThreads) {
  const ort = await import(new URL(MODULES[backend], LIBRARY).href);
  const threads = self.crossOriginIsolated ? wantedThreads || THREADS : 1;
  ort.env.wasm.wasmPaths = LIBRARY;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  // The name changes with the content, so no cache hands out an earlier model.
  const address = new URL(`${model.file}?${model.sha256.slice(0, 16)}`, import.meta.url);
  const answer = await fetch(address);
  if (!answer.ok) throw new EngineError(`${model.file}: the server answers ${answer.status}`);
  const content = new Uint8Array(await answer.arrayBuffer());
  const session = await ort.InferenceSession.create(content, { executionProviders: [backend] });
  const [input, output] = [session.inputNames[0], session.outputNames[0]];

  async function run(tile, height, width) {
    const given = new ort.Tensor("float32", tile, [1, 3, height, width]);
    const made = (await session.run({ [input]: given }))[output];
    const values = await made.getData();
    made.dispose();
    return values;
  }
  const precision = model.spec.precision;
  return { run, backend, precision, threads: backend === "wasm" ? threads : 0, release: () => session.release() };
}

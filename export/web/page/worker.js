// The worker: the engine, one photograph at a time, and the files that are made of the results. The page stays free.
import { chooseEngine } from "./engine.js";
import { finish } from "./finish.js";
import { CancelledError, restore } from "./restore.js";

let card, engine;
let exact = null; // a promise of an engine in fp32, once one is needed
const stops = new Map(); // of what is under way, by its number

const handlers = {
  async start({ model, wanted }) {
    card = model;
    engine = await chooseEngine(card, wanted, (words) => postMessage({ type: "status", words }));
    const { name, backend, precision, threads, psnr, largest, refused } = engine;
    return { name, backend, precision, threads, psnr, largest, refused };
  },

  async restore({ id, file }) {
    const stop = new AbortController();
    stops.set(id, stop);
    try {
      return await restore(file, card.models[0].spec, {
        run: engine.run,
        exact: engine.precision === "fp16" ? inFull : null,
        onTile: (done, total) => postMessage({ type: "tile", id, done, total }),
        signal: stop.signal,
      });
    } finally {
      stops.delete(id);
    }
  },

  finish({ original, restored, beyond, options }) {
    return finish(original, restored, beyond, options);
  },
};

/** Run a tile whose result in fp16 cannot be true again in fp32, if the page has a model of it. */
async function inFull(tile, height, width) {
  const models = card.models.filter((model) => model.spec.precision === "fp32");
  exact ??= chooseEngine({ ...card, models: models.length ? models : card.models }, { backend: "wasm" }, () => {});
  return (await exact).run(tile, height, width);
}

self.addEventListener("message", async ({ data }) => {
  if (data.type === "cancel") {
    stops.get(data.id)?.abort();
    return;
  }
  try {
    postMessage({ type: "done", call: data.call, value: await handlers[data.type](data) });
  } catch (error) {
    const cancelled = error instanceof CancelledError;
    postMessage({ type: "failed", call: data.call, cancelled, message: String(error?.message ?? error) });
  }
});

// The page's side of the worker: each request is a promise.

/** What the worker could not do; `cancelled` where that was wanted. */
export class WorkerError extends Error {
  constructor(message, cancelled = false) {
    super(message);
    this.cancelled = cancelled;
  }
}

/** A worker that was started for this page. */
export class Client {
  /**
   * @param onStatus told in words what is being done at the start.
   * @param onTile told { id, done, total } of a photograph.
   */
  constructor({ onStatus, onTile }) {
    this.calls = new Map();
    this.count = 0;
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => {
      if (data.type === "status") onStatus(data.words);
      else if (data.type === "tile") onTile(data);
      else this.settle(data);
    });
    this.worker.addEventListener("error", (event) => {
      event.preventDefault();
      const error = new WorkerError(event.message || "the worker could not be loaded");
      for (const { reject } of this.calls.values()) reject(error);
      this.calls.clear();
    });
  }

  /** Choose the engine, and check it; see `chooseEngine`. */
  start(model, wanted) {
    return this.ask({ type: "start", model, wanted });
  }

  /** Restore a file; `id` is the number by which it is told of, and cancelled. */
  restore(id, file) {
    return this.ask({ type: "restore", id, file });
  }

  /** The file that is wanted of a result of `restore`, see finish.js. */
  finish(original, { blob, beyond }, options) {
    return this.ask({ type: "finish", original, restored: blob, beyond, options });
  }

  cancel(id) {
    this.worker.postMessage({ type: "cancel", id });
  }

  ask(message) {
    const call = (this.count += 1);
    return new Promise((resolve, reject) => {
      this.calls.set(call, { resolve, reject });
      this.worker.postMessage({ ...message, call });
    });
  }

  settle({ type, call, value, message, cancelled }) {
    const waiting = this.calls.get(call);
    this.calls.delete(call);
    if (type === "done") waiting?.resolve(value);
    else waiting?.reject(new WorkerError(message, cancelled));
  }
}

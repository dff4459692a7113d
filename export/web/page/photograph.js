// A photograph in the list: its state, and what can be done with it.

const WORDS = { waiting: "waiting", running: "restoring", done: "restored", failed: "failed", cancelled: "cancelled" };

/** One file, from the moment it was dropped. */
export class Photograph {
  /**
   * @param id its number.
   * @param file as it was dropped.
   * @param on what the buttons do: { select, download, remove, again }, each called with this.
   */
  constructor(id, file, on) {
    Object.assign(this, { id, file, state: "waiting", result: null, error: "", began: 0, address: URL.createObjectURL(file) });
    this.node = document.createElement("li");
    this.name = button("name", file.name, () => on.select(this));
    this.words = document.createElement("p");
    this.words.className = "state";
    this.bar = document.createElement("progress");
    this.bar.max = 1;
    this.bar.setAttribute("aria-label", `${file.name}: progress`);
    this.download = button("", "Download", () => on.download(this));
    this.again = button("", "Again", () => on.again(this));
    this.stop = button("", "Cancel", () => on.remove(this));
    const buttons = document.createElement("div");
    buttons.className = "buttons";
    buttons.append(this.download, this.again, this.stop);
    this.node.append(this.name, this.words, this.bar, buttons);
    this.show();
  }

  /** It is in another state from now on; `more` are fields that come with it. */
  become(state, more = {}) {
    Object.assign(this, more, { state });
    if (state === "running") this.began = performance.now();
    if (state === "done") this.resultAddress ??= URL.createObjectURL(this.result.blob);
    this.show();
  }

  /** How many tiles of how many are done. */
  tell(done, total) {
    this.bar.value = done / total;
    this.words.textContent = `restoring, ${done} of ${total} tiles${this.left(done, total)}`;
  }

  left(done, total) {
    const seconds = (((performance.now() - this.began) / 1000) * (total - done)) / done;
    if (done < 2 || seconds < 3) return "";
    return seconds < 100 ? `, about ${Math.round(seconds)} s left` : `, about ${Math.round(seconds / 60)} min left`;
  }

  /** In words: what is known of it. */
  get caption() {
    if (!this.result) return `${this.file.name}: ${this.error || WORDS[this.state]}`;
    const { width, height, depth, seconds, notes, recomputed } = this.result;
    const parts = [`${width} × ${height}, ${depth} bits, restored in ${seconds.toFixed(1)} s`, ...notes];
    if (recomputed) parts.push(`${recomputed} tiles were computed again in fp32`);
    return `${this.file.name}: ${parts.join("; ")}`;
  }

  /** Let go of what the browser holds for it. */
  release() {
    for (const address of [this.address, this.resultAddress]) if (address) URL.revokeObjectURL(address);
    this.node.remove();
  }

  show() {
    const { state } = this;
    const isOpen = state === "waiting" || state === "running";
    this.node.classList.toggle("failed", state === "failed");
    this.words.textContent = this.result ? this.caption.slice(this.file.name.length + 2) : this.error || WORDS[state];
    this.bar.hidden = !isOpen;
    if (state === "waiting") this.bar.value = 0;
    this.download.hidden = state !== "done";
    this.again.hidden = state !== "failed" && state !== "cancelled";
    this.stop.textContent = isOpen ? "Cancel" : "Remove";
    for (const each of [this.download, this.again, this.stop]) {
      each.setAttribute("aria-label", `${each.textContent} ${this.file.name}`);
    }
  }
}

function button(kind, text, act) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", className: kind, textContent: text });
  made.addEventListener("click", act);
  return made;
}

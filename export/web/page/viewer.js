// One photograph before and after, with a line between them that moves; whole, or pixel for pixel.

const element = (id) => document.getElementById(id);
const KEY_STEP = 48; // pixels that an arrow key moves the picture

/** The viewer; there is one on the page. */
export class Viewer {
  constructor() {
    this.parts = Object.fromEntries(
      ["viewer", "stage", "before", "after", "split", "zoom", "caption"].map((id) => [id, element(id)]),
    );
    this.place = { x: 0, y: 0 };
    const { stage, split, zoom, after } = this.parts;
    split.addEventListener("input", () => this.showSplit());
    zoom.addEventListener("click", () => this.setZoom(!this.isWhole));
    stage.addEventListener("pointerdown", (event) => this.grab(event));
    stage.addEventListener("dblclick", () => this.setZoom(!this.isWhole));
    after.addEventListener("load", () => stage.classList.remove("no-after"));
    addEventListener("resize", () => this.move(0, 0));
    this.showSplit();
  }

  get isWhole() {
    return this.parts.stage.classList.contains("whole-pixels");
  }

  /** Show a photograph: the address of the file, that of its result or null, and what is said below. */
  show({ name, before, after, caption }) {
    const { viewer, stage, caption: words } = this.parts;
    viewer.hidden = false;
    if (this.parts.before.getAttribute("src") !== before) {
      this.parts.before.src = before;
      this.place = { x: 0, y: 0 };
      this.move(0, 0);
    }
    this.parts.before.alt = `${name}, before`;
    this.parts.after.alt = `${name}, restored`;
    if (this.parts.after.getAttribute("src") !== (after ?? "")) {
      stage.classList.add("no-after");
      if (after) this.parts.after.src = after;
      else this.parts.after.removeAttribute("src");
    }
    words.textContent = caption;
  }

  /** Nothing is left to show. */
  hide() {
    this.parts.viewer.hidden = true;
    this.parts.before.removeAttribute("src");
    this.parts.after.removeAttribute("src");
  }

  /** The share of the result that is shown over the original, as a download mixes them. */
  setStrength(share) {
    this.parts.after.style.opacity = share;
  }

  setZoom(whole) {
    const { stage, zoom, before } = this.parts;
    stage.classList.toggle("whole-pixels", whole);
    zoom.setAttribute("aria-pressed", String(whole));
    for (const image of [before, this.parts.after]) {
      // A pixel of the picture becomes one of the screen.
      image.style.width = whole ? `${before.naturalWidth / devicePixelRatio}px` : "";
      image.style.height = whole ? `${before.naturalHeight / devicePixelRatio}px` : "";
      image.style.transform = "";
    }
    this.place = { x: Infinity, y: Infinity }; // to be put into the middle
    this.move(0, 0);
  }

  /** Move the picture by so many pixels, as far as it goes. */
  move(x, y) {
    if (!this.isWhole) return;
    const { stage, before, after } = this.parts;
    const kept = (place, change, room, size) => {
      const free = room - size;
      const wanted = place === Infinity ? free / 2 : place + change;
      return free > 0 ? free / 2 : Math.min(Math.max(wanted, free), 0);
    };
    this.place = {
      x: kept(this.place.x, x, stage.clientWidth, before.naturalWidth / devicePixelRatio),
      y: kept(this.place.y, y, stage.clientHeight, before.naturalHeight / devicePixelRatio),
    };
    const shift = `translate(${Math.round(this.place.x)}px, ${Math.round(this.place.y)}px)`;
    for (const image of [before, after]) image.style.transform = shift;
  }

  /** A key that is meant for the viewer; says whether it was. */
  key(event) {
    if (event.key.toLowerCase() === "z") {
      this.setZoom(!this.isWhole);
      return true;
    }
    const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (!this.isWhole || !(event.key in moves) || !event.shiftKey) return false;
    const [x, y] = moves[event.key];
    this.move(x * KEY_STEP, y * KEY_STEP);
    return true;
  }

  showSplit() {
    const { stage, split } = this.parts;
    stage.style.setProperty("--split", `${split.value}%`);
    split.setAttribute("aria-valuetext", `${split.value}% before`);
  }

  /** Mouse or finger: the whole picture's line is moved; of one that is larger than the stage, the picture. */
  grab(down) {
    const { stage, split } = this.parts;
    stage.setPointerCapture(down.pointerId);
    let last = down;
    const follow = (event) => {
      if (this.isWhole) this.move(event.clientX - last.clientX, event.clientY - last.clientY);
      else {
        const box = stage.getBoundingClientRect();
        split.value = ((event.clientX - box.left) / box.width) * 100;
        this.showSplit();
      }
      last = event;
    };
    follow(down);
    stage.addEventListener("pointermove", follow);
    for (const end of ["pointerup", "pointercancel"]) {
      stage.addEventListener(end, () => stage.removeEventListener("pointermove", follow), { once: true });
    }
  }
}

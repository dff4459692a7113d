// The page: what is dropped is restored one after the other, in a worker, and can be looked at and downloaded.
import { figures, showCard } from "./card.js";
import { Client } from "./client.js";
import { Photograph } from "./photograph.js";
import { Viewer } from "./viewer.js";
import { unlike, zipped } from "./zip.js";

const element = (id) => document.getElementById(id);
const photographs = [];
const viewer = new Viewer();
let count = 0;
let isReady = false;
let busy = null; // the photograph that is being restored
let selected = null;

const client = new Client({
  onStatus: (words) => say(words),
  onTile: ({ id, done, total }) => photographs.find((each) => each.id === id)?.tell(done, total),
});

function say(words, state = "") {
  element("engine").textContent = words;
  element("engine").className = `engine ${state}`;
}

async function start() {
  try {
    const answer = await fetch("model.json", { cache: "no-cache" });
    if (!answer.ok) throw new Error(`model.json: the server answers ${answer.status}`);
    const card = await answer.json();
    element("title").textContent = { denoise: "Denoise", deblur: "Deblur" }[card.models[0].spec.task] ?? "Restore";
    element("title").textContent += " photographs";
    showCard(element("card"), card, null);
    const asked = new URLSearchParams(location.search);
    const wanted = { backend: asked.get("backend"), threads: Math.max(Number.parseInt(asked.get("threads"), 10) || 0, 0) };
    const engine = await client.start(card, wanted);
    showCard(element("card"), card, engine);
    const threads = engine.threads > 1 ? `, ${engine.threads} threads` : "";
    say(`Ready: ${engine.name}${threads}, ${figures(engine)}.`, "ready");
    isReady = true;
    work();
  } catch (error) {
    say(error.message, "failed");
  }
}

/** Restore what waits, one after the other. */
async function work() {
  if (!isReady || busy) return;
  busy = photographs.find((each) => each.state === "waiting") ?? null;
  if (!busy) return;
  const photograph = busy;
  photograph.become("running");
  summarise();
  try {
    const result = await client.restore(photograph.id, photograph.file);
    const seconds = (performance.now() - photograph.began) / 1000;
    photograph.become("done", { result: { ...result, seconds } });
  } catch (error) {
    photograph.become(error.cancelled ? "cancelled" : "failed", { error: error.cancelled ? "" : error.message });
  }
  busy = null;
  if (selected === photograph) select(photograph);
  summarise();
  work();
}

function add(files) {
  for (const file of files) {
    count += 1;
    const photograph = new Photograph(count, file, { select, download, remove, again });
    photographs.push(photograph);
    element("list").append(photograph.node);
    if (!selected) select(photograph);
  }
  summarise();
  work();
}

function select(photograph) {
  selected = photograph;
  for (const each of photographs) each.node.classList.toggle("selected", each === photograph);
  if (!photograph) {
    viewer.hide();
    return;
  }
  for (const each of photographs) each.name.setAttribute("aria-current", String(each === photograph));
  const { file, address, resultAddress, caption } = photograph;
  viewer.show({ name: file.name, before: address, after: resultAddress ?? null, caption });
}

/** Cancel it while it is under way, else take it from the list. */
function remove(photograph) {
  if (photograph === busy) {
    client.cancel(photograph.id);
    return;
  }
  const place = photographs.indexOf(photograph);
  photographs.splice(place, 1);
  photograph.release();
  if (selected === photograph) select(photographs[Math.min(place, photographs.length - 1)] ?? null);
  (photographs[Math.min(place, photographs.length - 1)]?.name ?? element("choose")).focus();
  summarise();
}

function again(photograph) {
  photograph.become("waiting", { error: "" });
  work();
}

function summarise() {
  const done = photographs.filter((each) => each.state === "done").length;
  document.body.classList.toggle("has-files", photographs.length > 0);
  element("summary").textContent = photographs.length ? `${done} of ${photographs.length} restored` : "";
  element("all").disabled = !done;
}

function options() {
  return {
    strength: element("strength").valueAsNumber / 100,
    format: element("format").value,
    quality: element("quality").valueAsNumber / 100,
  };
}

/** The file that is wanted of a photograph: { name, blob }. */
async function wanted(photograph) {
  const { blob, ending, notes } = await client.finish(photograph.file, photograph.result, options());
  const said = new Set([...photograph.result.notes, ...notes]);
  photograph.become("done", { result: { ...photograph.result, notes: [...said] } });
  return { name: `${photograph.file.name.replace(/\.[^.]*$/, "")}-restored.${ending}`, blob };
}

async function download(photograph) {
  await guarded(photograph.download, async () => {
    const { name, blob } = await wanted(photograph);
    save(blob, name);
  });
}

async function downloadAll() {
  await guarded(element("all"), async () => {
    const files = [];
    for (const each of photographs.filter(({ state }) => state === "done")) files.push(await wanted(each));
    const names = unlike(files.map(({ name }) => name));
    save(await zipped(files.map(({ blob }, index) => ({ name: names[index], blob }))), "restored.zip");
  });
}

/** Work that a button starts: it cannot be started twice, and what goes wrong is said. */
async function guarded(button, act) {
  button.disabled = true;
  try {
    await act();
  } catch (error) {
    element("summary").textContent = `The download failed: ${error.message}`;
  }
  button.disabled = false;
}

function save(blob, name) {
  const link = document.createElement("a");
  Object.assign(link, { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function listen() {
  const drop = element("drop");
  element("choose").addEventListener("click", () => element("files").click());
  element("files").addEventListener("change", ({ target }) => {
    add(target.files);
    target.value = "";
  });
  for (const type of ["dragenter", "dragover"]) {
    addEventListener(type, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  addEventListener("dragleave", (event) => event.relatedTarget === null && drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => add(event.clipboardData.files));
  addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input, select") && event.key !== "z";
    if (!isTyping && !event.ctrlKey && !event.metaKey && selected && viewer.key(event)) event.preventDefault();
  });
  element("strength").addEventListener("input", ({ target }) => {
    element("strength-shown").textContent = `${target.value}%`;
    viewer.setStrength(target.valueAsNumber / 100);
  });
  element("format").addEventListener("change", ({ target }) => {
    element("quality-row").hidden = target.value !== "jpeg";
  });
  element("quality").addEventListener("input", ({ target }) => {
    element("quality-shown").textContent = target.value;
  });
  element("all").addEventListener("click", downloadAll);
  // A tab that is closed by mistake takes with it what was not downloaded.
  addEventListener("beforeunload", (event) => busy && event.preventDefault());
}

listen();
start();

// What is known of the model, and of what runs it here.

/** The lines of the card: pairs of a name and a value, which may be a link. */
function lines(card, engine) {
  const [first] = card.models;
  const { spec } = first;
  const found = [
    ["task", spec.task],
    ["network", first.architecture],
    ["tiles", `${spec.tile} pixels, overlap ${spec.overlap}`],
    ["weights", `SHA-256 ${spec.weights_sha256}`],
    ["exported by", spec.exported_by],
  ];
  for (const model of card.models) found.push(...parityLines(model));
  if (engine) {
    found.push(["here", `${engine.name}: ${figures(engine)}`]);
    for (const reason of engine.refused) found.push(["turned down here", reason]);
  }
  found.push(["library", `ONNX Runtime Web ${card.library.version}, MIT licence, Microsoft Corporation`]);
  return found;
}

function parityLines(model) {
  const { spec, standing, file, bytes } = model;
  const found = [[spec.precision, `${file}, ${(bytes / 1e6).toFixed(1)} MB, ${standing}`]];
  for (const each of spec.parity?.executors ?? []) {
    const verdict = each.passed ? "passed" : "refused";
    const psnr = `${each.psnr.toFixed(1)} dB or more, largest difference ${each.max_abs.toExponential(1)}`;
    found.push(["", `${each.name} ${each.version}: ${psnr}, ${each.cases} comparisons, ${verdict}`]);
  }
  return found;
}

/** In words: how the engine compares with PyTorch. */
export function figures({ psnr, largest }) {
  if (psnr === undefined) return "not compared with PyTorch: the model has no answer to compare with";
  return `${psnr.toFixed(1)} dB to PyTorch on the known picture, largest difference ${largest.toExponential(1)}`;
}

/** Fill the card in; `engine` is null before there is one. */
export function showCard(place, card, engine) {
  const list = document.createElement("dl");
  for (const [name, value] of lines(card, engine)) {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, text.textContent] = [name, value ?? "not stated"];
    list.append(term, text);
  }
  place.replaceChildren(list);
  if (!card.model_card) return;
  const link = document.createElement("a");
  Object.assign(link, { href: card.model_card, textContent: "All about this model" });
  place.append(link);
}

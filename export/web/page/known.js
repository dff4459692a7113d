// The known picture, and what PyTorch made of it: whether a backend in this browser gives the same.

/** Bytes of a base64 text. */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** The known picture as the network takes it, Float32Array of 3 x side x side. */
export function knownTile({ pixels }) {
  return Float32Array.from(bytesOf(pixels), (value) => value / 255);
}

/**
 * How far a result is from PyTorch's, as nafnet/difference.py judges it: { psnr, largest, refused }.
 *
 * @param known of `model.json`.
 * @param model of `model.json`, with the gate of its precision and PyTorch's answer.
 * @param made Float32Array of 3 x side x side.
 */
export function judge(known, model, made) {
  const expected = new Float32Array(bytesOf(model.spec.answer.values).buffer);
  const { places, side } = known;
  const errors = Float64Array.from(expected, (value, index) => {
    const channel = Math.floor(index / places.length);
    return Math.abs(made[channel * side * side + places[index % places.length]] - value);
  });
  if (made.length !== 3 * side * side || !errors.every(Number.isFinite)) {
    return { psnr: 0, largest: Infinity, refused: "its result has values that are not finite" };
  }
  errors.sort();
  const mean = errors.reduce((sum, error) => sum + error * error, 0) / errors.length;
  const psnr = mean ? Math.min(-10 * Math.log10(mean), 200) : 200;
  const largest = errors[errors.length - 1];
  return { psnr, largest, refused: refusal(model.gate, psnr, largest, quantile(errors, 0.999)) };
}

/** Between the two values that lie next to it, as NumPy does it. */
function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

/** Why the gate of a precision refuses these figures, or null. */
function refusal(gate, psnr, largest, p999) {
  if (!(psnr >= gate.psnr)) return `${psnr.toFixed(1)} dB, below ${gate.psnr}`;
  if (gate.max_abs !== null && !(largest <= gate.max_abs)) {
    return `largest difference ${largest.toExponential(1)}, above ${gate.max_abs.toExponential(1)}`;
  }
  if (gate.p999 !== null && !(p999 <= gate.p999)) {
    return `99.9% ${p999.toExponential(1)}, above ${gate.p999.toExponential(1)}`;
  }
  return null;
}

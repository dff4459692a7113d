"""The same noisy picture in several colour spaces, restored: ``python -m nafnet.benchmarks.studies.colour``.

Each file is made of the same values, with formulas of its own here, and what comes out is shown as sRGB again. So each
row should be as good as that of the sRGB file. `as-is` gives the model the file's values, as if they were sRGB's.

Sources: SMPTE ST 2084 (PQ), ITU-R BT.2100 (HLG), ITU-R BT.2408 (diffuse white); the primaries' own standards.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from nafnet.benchmarks.photographs import in_unit_range, photographs, with_gaussian_noise
from nafnet.commandline import exits
from nafnet.images.colour.primaries import SRGB_PRIMARIES, Primaries, display_profile, to_xyz
from nafnet.images.file import ImageFile, read_image, write_image
from nafnet.images.formats import Format
from nafnet.images.metadata.metadata import Metadata
from nafnet.metrics import psnr
from nafnet.runtime import Encoding, Restorer, restore_file

Floats = NDArray[Any]
Curve = Callable[[Floats], Floats]
_D65 = (0.3127, 0.3290)
P3: Primaries = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65)
ADOBE: Primaries = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)
PROPHOTO: Primaries = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585))
BT2020: Primaries = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65)
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593])
_NITS = 203.0


class Case(NamedTuple):
    """A file that can hold the picture."""

    name: str
    primaries: Primaries
    encode: Curve
    decode: Curve
    metadata: Metadata
    kind: str = "uint16"
    format: Format = "png"


def _srgb(light: Floats) -> Floats:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def _from_srgb(values: Floats) -> Floats:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _pq(light: Floats) -> Floats:
    power = np.maximum(light * _NITS / 10_000, 0) ** (1305 / 8192)
    return ((107 / 128 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def _from_pq(values: Floats) -> Floats:
    root = np.maximum(values, 0) ** (32 / 2523)
    return (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305) * 10_000 / _NITS


def _hlg_scene(values: Floats) -> Floats:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)


def _hlg(light: Floats) -> Floats:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    shown = np.maximum(light, 0) * _hlg_scene(np.array(0.75)) ** 1.2
    scene = shown * np.maximum(shown @ _LUMINANCE, 1e-9)[..., None] ** (1 / 1.2 - 1)
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def _from_hlg(values: Floats) -> Floats:
    scene = _hlg_scene(values)
    return scene * np.maximum(scene @ _LUMINANCE, 1e-9)[..., None] ** 0.2 / _hlg_scene(np.array(0.75)) ** 1.2


def _power(exponent: float) -> tuple[Curve, Curve]:
    return lambda light: np.maximum(light, 0) ** (1 / exponent), lambda values: values**exponent


def _power_profile(primaries: Primaries, exponent: float) -> Metadata:
    curve = b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, round(exponent * 65536))
    return Metadata(icc=display_profile(primaries, curve))


def cases() -> Iterator[Case]:
    """All of them; the first is the sRGB file."""
    yield Case("sRGB", SRGB_PRIMARIES, _srgb, _from_srgb, Metadata())
    yield Case("linear light, float TIFF", SRGB_PRIMARIES, *_power(1), Metadata(), "float32", "tiff")
    yield Case("linear light, profile", SRGB_PRIMARIES, *_power(1), _power_profile(SRGB_PRIMARIES, 1))
    yield Case("gamma 1.8", SRGB_PRIMARIES, *_power(1.8), _power_profile(SRGB_PRIMARIES, 1.8))
    yield Case("Display P3", P3, _srgb, _from_srgb, Metadata(icc=display_profile(P3)))
    yield Case("Adobe RGB", ADOBE, *_power(2.2), _power_profile(ADOBE, 2.2))
    yield Case("ProPhoto", PROPHOTO, *_power(1.8), _power_profile(PROPHOTO, 1.8))
    yield Case("PQ, BT.2020", BT2020, _pq, _from_pq, Metadata(codes=(9, 16)))
    yield Case("HLG, BT.2020", BT2020, _hlg, _from_hlg, Metadata(codes=(9, 18)))


def restored(restorer: Restorer, case: Case, noisy: Floats, encoding: Encoding, folder: Path) -> Floats:
    """What becomes of sRGB values, float[H,W,3] in [0, 1], in such a file; as sRGB again."""
    there = (np.linalg.inv(to_xyz(case.primaries)) @ to_xyz(SRGB_PRIMARIES)).T
    values = np.clip(case.encode(_from_srgb(noisy) @ there), 0, 1)
    pixels: Any = values.astype(np.float32) if case.kind == "float32" else np.rint(values * 65535).astype(np.uint16)
    source, target = (folder / f"{name}.{case.format}" for name in ("in", "out"))
    write_image(source, ImageFile(pixels=pixels, alpha=None, format=case.format, lossless=True, metadata=case.metadata))
    restore_file(restorer, source, target, encoding, overwrite=True)
    made = read_image(target).pixels
    light = case.decode(made.astype(np.float64) / (1 if made.dtype == np.float32 else 65535)) @ np.linalg.inv(there)
    return np.clip(_srgb(light), 0, 1)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--sigma", default=25.0, show_default=True, help="Of the noise, in steps of 255.")
@click.option("--side", default=400, show_default=True, help="Pixels of each photograph's upper left square.")
@click.option("--model", help="An .onnx file or a checkpoint.  [default: the bundled denoiser]")
@exits
def main(sigma: float, side: int, model: str | None) -> int:
    """Print the mean PSNR over the sample photographs, in dB, for each kind of file."""
    pictures = [in_unit_range(photograph[:side, :side]) for _, photograph in photographs()]
    click.echo("| file | values as they are | by their colour space |\n|---|---|---|")
    with Restorer.load(model) as restorer, tempfile.TemporaryDirectory() as folder:
        for case in cases():
            scores = []
            for encoding in (Encoding(colour="as-is"), Encoding()):
                made = []
                for seed, clean in enumerate(pictures):
                    noisy = np.clip(with_gaussian_noise(np.rint(clean * 255).astype(np.uint8), sigma, seed), 0, 1)
                    image = restored(restorer, case, noisy.astype(np.float64), encoding, Path(folder))
                    made.append(psnr(image.astype(np.float32), clean, peak=1.0))
                scores.append(float(np.mean(made)))
            click.echo(f"| {case.name} | {scores[0]:.2f} | {scores[1]:.2f} |")
    return 0


if __name__ == "__main__":
    main()

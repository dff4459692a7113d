"""What is done in the first hour, as a table."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nafnet.benchmarks.gpu_day.runner import NothingToDoError, Step
from nafnet.interpreter import module_command
from nafnet.parity import Precision
from nafnet.runtime.backends import states

RANDOM = "upstream/sidd-width32"
"""The recipe whose network is made with random weights: as fast as a trained one, and nothing to download."""
FORMATS = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt-rtx", "onnxruntime-cuda": "onnx"}
"""What each engine reads, by the backend that runs it."""
NORMS = ("conv", "fused")
Words = list[str | Path]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Day:
    """What is to be done, and where."""

    folder: Path
    networks: tuple[Path, ...]
    """Checkpoints; they may be written by a step."""
    engines: tuple[str, ...]
    """Of `FORMATS`."""
    precisions: tuple[Precision, ...] = ("fp32", "fp16")
    tiles: tuple[int, ...] = (256, 512)
    batches: tuple[int, ...] = (1, 4, 8)
    seconds: float = 20.0
    """Of the bench, for each tile and batch."""
    random: bool = True
    """Whether to write the network with random weights."""
    tests: Path | None = None
    """The checkout, to run its tests marked gpu."""
    images: Path | None = None
    quick: bool = False
    """Engines alone and no cold starts: to see that all of it runs."""

    def export_folder(self, network: Path, engine: str, form: str) -> Path:
        """Of one artefact."""
        return self.folder / "exports" / network.stem / engine / form


def engines_at_hand() -> tuple[str, ...]:
    """Those that can run here."""
    return tuple(name for name, _, missing in states() if name in FORMATS and missing is None)


def table(day: Day) -> Iterator[Step]:
    """All steps, in their order."""
    yield Step(group="Environment", title="driver", words=lambda: ["nvidia-smi"])
    yield Step(group="Environment", title="backends", words=lambda: ["nafnet-run", "--list-backends"])
    packages: Words = [sys.executable, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"]
    yield Step(group="Environment", title="packages", words=lambda: packages)
    if day.tests:
        tests: Words = [sys.executable, "-m", "pytest", "-m", "gpu", "-rs", day.tests / "tests"]
        yield Step(group="Tests", title="pytest -m gpu", words=lambda: tests)
    if day.random:
        made = module_command(
            "nafnet.benchmarks.studies.random_models", str(day.folder / "networks"), "--recipe", RANDOM
        )
        yield Step(group="Networks", title="random weights, width 32", words=lambda: made)
    for network in day.networks:
        yield from _exports(day, network)
    for network in day.networks:
        yield _bench(day, network)
    for network in day.networks[-1:] if day.quick else day.networks:
        for engine in day.engines[:1] if day.quick else day.engines:
            yield from _norms(day, network, engine)


def _exports(day: Day, network: Path) -> Iterator[Step]:
    """Each engine in each precision: written, which for plans is the gate on the device, and run by the runtime."""
    for engine in day.engines:
        for precision in day.precisions:
            folder = day.export_folder(network, engine, precision)
            title = f"{network.stem}, {engine}, {precision}"
            yield Step(
                group="Exports", title=title, words=functools.partial(_export, network, engine, precision, folder)
            )
            yield Step(
                group="Parity on the device", title=title, words=functools.partial(_compare, network, engine, folder)
            )


def _bench(day: Day, network: Path) -> Step:
    result = day.folder / f"bench-{network.stem}.json"
    page = result.with_suffix(".html")
    tiles, batches = (",".join(map(str, numbers)) for numbers in (day.tiles, day.batches))

    def words() -> Words:
        return [
            "nafnet-bench", "--model", _there(network), "--tile", tiles, "--batch", batches, *_common(day),
            *(_named(day.engines) if day.quick else ()), "--json", result, "--html", page,
        ]  # fmt: skip

    return Step(group="Bench", title=network.stem, words=words, result=result)


def _norms(day: Day, network: Path, engine: str) -> Iterator[Step]:
    """The forms of LayerNorm side by side; of the gate nafnet-export has one form, the naive rows of the bench the
    other."""
    tile, batch = day.tiles[0], day.batches[len(day.batches) // 2]
    folders = []
    for precision in day.precisions:
        for norm in NORMS:
            folder = day.export_folder(network, engine, f"{precision}-{norm}")
            folders.append(folder)
            shape = ("--norm", norm, "--tile", str(tile), "--batch", str(batch))
            yield Step(
                group="Norms", title=f"{network.stem}, {engine}, {precision}, {norm}: export",
                words=functools.partial(_export, network, engine, precision, folder, *shape),
            )  # fmt: skip
    result = day.folder / f"norms-{network.stem}-{engine}.json"

    def words() -> Words:
        found = [_artefact(folder) for folder in folders if _artefacts(folder)]
        if not found:
            raise NothingToDoError("no export of it was written")
        models = [word for path in found for word in ("--model", path)]
        shape = ["--tile", str(tile), "--batch", str(batch)]
        return [
            "nafnet-bench", "--model", _there(network), *models, *_named((engine,)), *shape, *_common(day),
            "--json", result,
        ]  # fmt: skip

    yield Step(group="Norms", title=f"{network.stem}, {engine}: side by side", words=words, result=result)


def _export(network: Path, engine: str, precision: Precision, folder: Path, *more: str) -> Words:
    half = [f"--{precision}"] if precision != "fp32" else []
    return ["nafnet-export", _there(network), "-o", folder, "--format", FORMATS[engine], *half, *more]


def _compare(network: Path, engine: str, folder: Path) -> Words:
    return [
        *module_command("nafnet.benchmarks.gpu_day.compared"), _artefact(folder), _there(network), "--backend", engine
    ]  # fmt: skip


def _common(day: Day) -> Words:
    images: Words = ["--images", day.images] if day.images else []
    return ["--seconds", str(day.seconds), *images, *(["--no-cold"] if day.quick else [])]


def _named(engines: Sequence[str]) -> list[str]:
    return [word for engine in engines for word in ("--backend", engine)]


def _there(network: Path) -> Path:
    if not network.is_file():
        raise NothingToDoError(f"{network.name} was not written")
    return network


def _artefacts(folder: Path) -> list[Path]:
    return [path for ending in ("*.plan", "*.onnx") for path in sorted(folder.glob(ending))]


def _artefact(folder: Path) -> Path:
    found = _artefacts(folder)
    if not found:
        raise NothingToDoError(f"{folder.name}: the export was not written")
    return found[0]

"""What `nafnet-bench` compares: PyTorch in its forms, and every backend on a plain export and on ours."""

from __future__ import annotations

import dataclasses
import importlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from nafnet.benchmarks.rows.candidate import Absent, Candidate
from nafnet.benchmarks.rows.exports import Exports
from nafnet.benchmarks.rows.variants import NAIVE, NAIVE_FIXED, native_precisions, variants
from nafnet.checkpoint import Checkpoint
from nafnet.errors import NafnetError
from nafnet.parity import Arithmetic
from nafnet.runtime.backends import REGISTRY, Entry, states
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.presence import no_cuda

REFERENCE = "torch eager"
"""The row that all are compared with, and by whose time ratios are taken."""
_FORMS = "nafnet.benchmarks.rows.torch_forms"
COMPILED = "torch-compile"
FORMS: tuple[tuple[str, str, Arithmetic, str], ...] = (
    # --backend, class of torch_forms, precision, device
    ("torch-eager", "AsPublished", "fp32", "cpu"),
    ("torch", "ChannelsLast", "fp32", "cpu"),
    (COMPILED, "Compiled", "fp32", "cpu"),
    ("torch-eager", "AsPublished", "fp32", "cuda:0"),
    ("torch-eager", "Tf32", "tf32", "cuda:0"),
    ("torch", "ChannelsLast", "fp32", "cuda:0"),
    (COMPILED, "Compiled", "fp32", "cuda:0"),
    (COMPILED, "CompiledHalf", "fp16", "cuda:0"),
)
BACKENDS = tuple(dict.fromkeys((*(form[0] for form in FORMS), *REGISTRY)))
"""What --backend takes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to compare."""

    backends: Sequence[str] = ()
    """Of `BACKENDS`; none is all."""
    precisions: Sequence[Arithmetic] = ()
    """None is what is native: fp32, bf16 where the CPU has it, TF32 and fp16 on a GPU."""
    artefacts: Sequence[Model] = ()
    """Exports made before, to be compared as well."""
    shapes: Sequence[tuple[int, int]] = ((1, 256),)
    """(batch, tile) of each case: an engine is built for each."""
    brief: bool = False
    """Without plain exports, and without what is compiled for minutes unless it is named."""

    def takes(self, backend: str, precision: Arithmetic, *, native: bool = True) -> bool:
        """Whether a row was asked for."""
        named = not self.backends or backend in self.backends
        return named and (precision in self.precisions if self.precisions else native)

    def skips(self, backend: str, label: str) -> bool:
        """Whether a row is left out for brevity, by its backend and the end of its name."""
        return self.brief and (label.endswith((NAIVE, NAIVE_FIXED)) or backend in {COMPILED} - {*self.backends})


def rows(exports: Exports, wanted: Wanted) -> Iterator[Candidate | Absent]:
    """Every row, the reference first; what was asked for and cannot be is a row, too.

    On a machine with an NVIDIA GPU the forms of PyTorch run there, and backends of the CPU only where they are named.
    """
    found = list(_rows(exports, wanted))
    yield from found
    yield from _unmet(found, wanted)


def asked_for(wanted: Wanted, name: str, backend: str, precision: Arithmetic) -> bool:
    """Whether a row of another run, that is not in this one, was asked for in this one; its precision is its own."""
    if ".onnx" in name or ".plan" in name:  # an export that was given then has to be given again
        return False
    if wanted.skips(backend, name):
        return False
    if backend not in REGISTRY or backend == "torch":  # PyTorch's forms
        return wanted.takes(backend, precision) or name == REFERENCE
    entry = REGISTRY[backend]
    unnamed = not wanted.backends and entry.device == "cpu" and _place() != "cpu"
    return not unnamed and wanted.takes(backend, precision, native=precision in native_precisions(backend, entry))


def _place() -> str:
    """Where PyTorch runs here."""
    return "cpu" if no_cuda() or not torch.cuda.is_available() else "cuda:0"


def _rows(exports: Exports, wanted: Wanted) -> Iterator[Candidate | Absent]:
    place = _place()
    yield from _torch_rows(exports.checkpoint, wanted, place)
    for name, entry, missing in states():
        if wanted.backends and name not in wanted.backends:
            continue
        if missing is None and place != "cpu" and entry.device == "cpu" and not wanted.backends:
            missing = "runs on the CPU, and a GPU is here: ask for it with --backend"
        if missing is not None:
            yield Absent(name=name, backend=name, reason=missing)
        elif name != "torch":
            yield from _backend_rows(name, entry, exports, wanted)
    yield from _artefact_rows(wanted)


def _torch_rows(checkpoint: Checkpoint, wanted: Wanted, place: str) -> Iterator[Candidate | Absent]:
    kinds = importlib.import_module(_FORMS)
    compiler = shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")
    for backend, attribute, precision, device in FORMS:
        name = getattr(kinds, attribute).name
        if device != place or (name != REFERENCE and not wanted.takes(backend, precision)):
            continue
        if wanted.skips(backend, name):
            continue
        if getattr(kinds, attribute).compiled and not compiler:
            yield Absent(name=name, backend=backend, reason="no C++ compiler is installed: g++ or clang++")
            continue
        yield Candidate(
            name=name, backend=backend, target=f"{_FORMS}:{attribute}", precision=precision, device=device,
            model=Model(path=checkpoint.source, spec=checkpoint.spec),
        )  # fmt: skip


def _backend_rows(name: str, entry: Entry, exports: Exports, wanted: Wanted) -> Iterator[Candidate | Absent]:
    for label, precision, shape, make in variants(name, entry, exports, wanted.shapes):
        native = precision in native_precisions(name, entry)
        if not wanted.takes(name, precision, native=native) or wanted.skips(name, label):
            continue
        try:
            model = make()
        except NafnetError as error:
            size = f", {shape[0]} x {shape[1]}" if shape else ""
            yield Absent(name=f"{name} {label}{size}", backend=name, reason=str(error))
            continue
        yield Candidate(
            name=f"{name} {label}", backend=name, target=entry.target, precision=precision, model=model,
            device=entry.default_device, prepared=label != NAIVE, shape=shape,
        )  # fmt: skip


def _artefact_rows(wanted: Wanted) -> Iterator[Candidate | Absent]:
    """Each file that was given, on every backend here that runs such a one."""
    for model, label in zip(wanted.artefacts, _labels([model.path for model in wanted.artefacts]), strict=True):
        spec, reads, runs = model.spec, "plan" if model.path.suffix == ".plan" else "onnx", False
        for name, entry, missing in states():
            other = spec.engine is not None and spec.engine.flavour != name
            if entry.reads != reads or other or missing or (wanted.backends and name not in wanted.backends):
                continue
            precision: Arithmetic = "bf16" if name == "openvino-bf16" and spec.precision == "fp32" else spec.precision
            yield Candidate(
                name=f"{name} {label}", backend=name, target=entry.target, precision=precision, model=model,
                device=entry.default_device, prepared=True,
            )  # fmt: skip
            runs = True
        if not runs:
            yield Absent(name=label, backend=reads, reason="no backend that was asked for and is here runs it")


def _labels(paths: Sequence[Path]) -> Iterator[str]:
    """For each file the shortest end of its path that no other file has; a file that is given again is numbered."""
    whole = [path.absolute().parts for path in paths]
    for index, parts in enumerate(whole):
        others = set(whole) - {parts}
        length = 1
        while length < len(parts) and any(other[-length:] == parts[-length:] for other in others):
            length += 1
        again = whole[:index].count(parts)
        yield str(Path(*parts[-length:])) + (f" ({again + 1})" if again else "")


def _unmet(found: Sequence[Candidate | Absent], wanted: Wanted) -> Iterator[Absent]:
    """Each precision that was asked for, of each backend that was named, and has no row."""
    compared = {(row.backend, row.precision) for row in found if isinstance(row, Candidate)}
    excused = {row.backend for row in found if isinstance(row, Absent)}
    for precision in wanted.precisions:
        if not wanted.backends and precision not in {known for _, known in compared}:
            yield Absent(name=precision, backend="", reason=_why_not(None, precision))
        for name in wanted.backends:
            if (name, precision) not in compared and name not in excused:
                yield Absent(
                    name=f"{name} {precision}",
                    backend=name,
                    reason=_why_not(REGISTRY.get(name, REGISTRY["torch"]), precision),
                )


def _why_not(entry: Entry | None, precision: Arithmetic) -> str:
    if precision == "int8" and (entry is None or entry.reads != "checkpoint"):
        return "the bench makes no int8 export, for that takes pictures: give an int8 export with --model"
    return f"is not compared in {precision}"

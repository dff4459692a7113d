"""TensorRT plans: native code, loaded only where it is our own and made for the library and GPU at hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nafnet.errors import ModelError, SpecError
from nafnet.filekind import what_else
from nafnet.files import file_sha256
from nafnet.spec import ModelSpec

AMPERE = 8
"""The major number of the first compute capability that plans for several GPUs run on."""


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU, as CUDA and torch describe it; as text it is what a plan says of where it was built."""

    name: str
    major: int
    minor: int

    @property
    def capability(self) -> str:
        """As SM90."""
        return f"SM{self.major}{self.minor}"

    def __str__(self) -> str:
        return f"{self.name} ({self.capability})"


def inspect_plan(path: Path) -> ModelSpec:
    """The spec beside a plan, once it is known to speak of it.

    Raises:
        ModelError: the plan or its spec is missing, or they do not belong together.
        SpecError: the spec is malformed.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; expected a plan")
    beside = path.with_name(f"{path.name}.json")
    if not beside.is_file():
        what = what_else(path, "TensorRT plan")
        reason = f"this is {what}; expected a TensorRT plan" if what else "a plan alone does not say what it is"
        raise ModelError(f"{path}: {beside.name} is not beside it, and {reason}")
    try:
        spec = ModelSpec.from_json(beside.read_text(encoding="utf-8", errors="replace"))
    except SpecError as error:
        raise SpecError(f"{beside}: {error}") from error
    if spec.engine is None or spec.engine.plan_sha256 != file_sha256(path):
        what = what_else(path, "TensorRT plan") or "damaged, or a plan of another export"
        raise ModelError(
            f"{path}: {beside.name} describes another plan (SHA-256 differs); this is {what}: export it anew"
        )
    return spec


def largest_tile(spec: ModelSpec) -> int | None:
    """The largest side of the square tiles that a plan takes, in pixels; None of anything but a plan."""
    if spec.engine is None:
        return None
    first = 1 if spec.io == "uint8" else 2  # of [N,H,W,C], else of [N,C,H,W]
    return min(spec.engine.profiles[0][2][first : first + 2])


def refuse_foreign_plan(path: Path, spec: ModelSpec, *, flavour: str, version: str, gpu: Gpu) -> None:
    """Raise ModelError unless the plan was built by this library, in this version, for this GPU, or is compatible.

    TensorRT-RTX's plans are for compute capabilities, which the library checks itself.
    """
    engine = spec.engine
    assert engine is not None
    if engine.flavour != flavour:
        raise ModelError(f"{path}: a plan of {engine.flavour}; expected one of {flavour}: choose another --backend")
    if engine.version != version and not (engine.version_compatible and _is_later(version, engine.version)):
        raise ModelError(f"{path}: built by {flavour} {engine.version}, here is {version}; export it anew")
    runs_here = engine.device == str(gpu) or (engine.hardware_compatible and gpu.major >= AMPERE)
    if flavour == "tensorrt" and not runs_here:
        raise ModelError(f"{path}: built on {engine.device}, here is {gpu}; export it anew")


def _is_later(version: str, than: str) -> bool:
    """Whether it is a later one of the same major version: TensorRT's plans are not for earlier ones."""
    found, built = ([int(part) for part in text.split(".") if part.isdigit()] for text in (version, than))
    return found[:1] == built[:1] and found > built

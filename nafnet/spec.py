"""ModelSpec: what a model file says about itself.

The spec travels with every artefact as JSON: in the metadata of a safetensors or an ONNX file, beside a
TensorRT plan as ``<plan>.json``. Later stages read it and guess nothing from a file's name. This module
needs the standard library alone, so a light install can read any spec.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, Literal, Self, get_args

from nafnet.errors import SpecError
from nafnet.fieldtypes import check_types, known_fields
from nafnet.parity import Answer, Parity, Precision, parity_of, refuse_contradictions

FORMAT_VERSION = 1
METADATA_KEY = "nafnet.spec"
# What no tensor or graph tells of a network and of how it was trained; assumed where there is no spec.
UNTOLD = ("task", "train_patch", "local_pooling", "tile", "overlap", "input_range", "colour_order")

Norm = Literal["manual", "rms", "conv", "fused", "fused-fp32"]
WireType = Literal["float32", "float16", "uint8"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of a NAFNet; enough to build the module whose state dict it describes."""

    channels: int = 3
    """Image channels in and out."""
    width: int = 32
    """Channels at full resolution; doubled at each level down."""
    encoder_blocks: tuple[int, ...] = (2, 2, 4, 8)
    """Blocks of each encoder level, full resolution first."""
    middle_blocks: int = 12
    """Blocks at the bottleneck."""
    decoder_blocks: tuple[int, ...] = (2, 2, 2, 2)
    """Blocks of each decoder level, lowest resolution first."""
    dw_expand: int = 2
    """Expansion of the depthwise branch, even after multiplication with the width."""
    ffn_expand: int = 2
    """Expansion of the feed-forward branch."""

    def __post_init__(self) -> None:
        # JSON has lists only; a frozen, hashable config wants tuples.
        object.__setattr__(self, "encoder_blocks", tuple(self.encoder_blocks))
        object.__setattr__(self, "decoder_blocks", tuple(self.decoder_blocks))
        if len(self.encoder_blocks) != len(self.decoder_blocks) or not self.encoder_blocks:
            raise SpecError(
                f"architecture: got {len(self.encoder_blocks)} encoder and {len(self.decoder_blocks)} decoder "
                "levels; NAFNet has as many of one as of the other, at least one"
            )
        for name in ("channels", "width", "dw_expand", "ffn_expand"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise SpecError(f"architecture: {name} is {value!r}; expected a whole number of at least 1")
        if (self.dw_expand * self.width) % 2 or (self.ffn_expand * self.width) % 2:
            raise SpecError("architecture: width x expansion must be even, for SimpleGate halves the channels")
        blocks = (*self.encoder_blocks, self.middle_blocks, *self.decoder_blocks)
        if any(not isinstance(n, int) or n < 0 for n in blocks):
            raise SpecError(f"architecture: block counts are {blocks}; expected whole numbers of at least 0")

    @property
    def multiple(self) -> int:
        """The image's height and width must be multiples of this: 2 to the number of levels."""
        return int(2 ** len(self.encoder_blocks))

    def __str__(self) -> str:
        encoder = ",".join(map(str, self.encoder_blocks))
        decoder = ",".join(map(str, self.decoder_blocks))
        return f"NAFNet width {self.width}, blocks {encoder} / {self.middle_blocks} / {decoder}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine:
    """What is known of a TensorRT plan beside the network in it."""

    flavour: str
    """tensorrt or tensorrt-rtx."""
    version: str
    """Of the library that built it, which must be the one that loads it unless it is `version_compatible`."""
    device: str
    """The GPU it was built on, as `planfile.Gpu` writes it, or the compute capabilities it was built for."""
    profiles: tuple[tuple[tuple[int, ...], ...], ...]
    """Smallest, best and largest input shape of each profile."""
    layers: dict[str, float]
    """Share of the layers by the type of their output, e.g. {"Half": 0.97, "Float": 0.03}."""
    layers_read_from: Literal["engine", "network"]
    """Where that share comes from: the finished engine's inspector, or, where no GPU can load it, the strongly
    typed network that the builder was handed and whose types it must keep."""
    plan_sha256: str
    version_compatible: bool = False
    """Whether later versions of the same major one load it, too. It holds code for the host."""
    hardware_compatible: bool = False
    """Whether every GPU from Ampere on runs it."""

    def __post_init__(self) -> None:
        profiles = tuple(tuple(tuple(shape) for shape in profile) for profile in self.profiles)
        object.__setattr__(self, "profiles", profiles)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What every artefact says about itself. Images are RGB, float32[N,C,H,W] in the range [0, 1]."""

    architecture: Architecture | None = None
    """None for a foreign ONNX file that carries no spec."""
    task: str = "restore"
    """What the model was trained for: denoise, deblur or, when nobody said, restore."""
    channels: int = 3
    multiple: int = 16
    """H and W of the model's input must be multiples of this."""
    train_patch: int = 256
    """Side of the training patches in pixels; SCA saw the statistics of such patches."""
    local_pooling: bool = False
    """Whether SCA pools over a box of 1.5 x train_patch instead of the whole input (TLC)."""
    tile: int = 256
    """Side of the tiles the runtime cuts by default, in pixels."""
    overlap: int = 16
    """Pixels that neighbouring tiles share by default."""
    fixed_shape: bool = False
    """Whether H and W must be exactly `tile`; `multiple` is then the tile, too."""
    precision: Precision = "fp32"
    """Of weights and activations; the statistics of LayerNorm and SCA's mean are in fp32 in any."""
    io: WireType = "float32"
    """What crosses the artefact's border: float32 or float16 [N,C,H,W] in [0, 1], or uint8[N,H,W,C]."""
    norm: Norm | None = None
    """The form LayerNorm has in an exported graph; None for a checkpoint."""
    residual_scale: tuple[float, ...] | None = None
    """Factors by which the residual stream of each level, full resolution first, was scaled to keep half precision
    from overflowing; the function is the same. None: not scaled."""
    half_layers: tuple[str, ...] | None = None
    """Of an int8 artefact: the blocks and layers that stayed in half, since int8 cost them too much."""
    input_range: tuple[float, float] = (0.0, 1.0)
    colour_order: str = "RGB"
    weights_sha256: str | None = None
    """SHA-256 over the names, shapes and bytes of the checkpoint's tensors; the same in all that came of it."""
    exported_by: str | None = None
    """The versions of this project and of the exporter."""
    parity: Parity | None = None
    """None: nobody compared this artefact with PyTorch."""
    verified: bool | None = None
    """False: exported with the parity gate switched off. None: a checkpoint, or a foreign file."""
    answer: Answer | None = None
    """None: there is nothing to check with when it is loaded."""
    graph_sha256: str | None = None
    """Of the graph that was compared: its nodes and initialisers, see `onnxgraph.graph_sha256`; what is claimed here
    is claimed of it."""
    changed: bool = False
    """Whether the graph is not the one that was compared; found out when a file is read, and never written."""
    engine: Engine | None = None
    """Of a TensorRT plan alone."""
    assumed: tuple[str, ...] = ()
    """The fields that nobody stated and that cannot be derived: they hold a default, which is a guess."""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_range", tuple(self.input_range))
        for name in ("residual_scale", "half_layers", "assumed"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if strange := set(self.assumed) - set(self.__dataclass_fields__):
            raise SpecError(f"spec: assumed names {', '.join(map(str, strange))}, expected fields of a spec")
        for name, known in (("precision", Precision), ("io", WireType)):
            if getattr(self, name) not in get_args(known):
                expected = ", ".join(get_args(known))
                raise SpecError(f"spec: {name} is {getattr(self, name)!r}; expected one of {expected}")
        for name in ("channels", "multiple", "train_patch", "tile"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise SpecError(f"spec: {name} is {value!r}; expected a whole number of at least 1")
        if not isinstance(self.overlap, int) or self.overlap < 0:
            raise SpecError(f"spec: overlap is {self.overlap!r}; expected a whole number of at least 0")

    def replace(self, **changes: Any) -> Self:
        """A copy with the named fields changed, which are then no longer assumed."""
        assumed = tuple(name for name in self.assumed if name not in changes)
        return dataclasses.replace(self, **{"assumed": assumed, **changes})

    @property
    def standing(self) -> str:
        """What is known of an exported artefact's parity with PyTorch, in words."""
        if self.is_verified:
            return "checked against PyTorch"
        if self.changed:
            return "changed since it was compared with PyTorch"
        claims = self.parity is not None and self.parity.passed
        return "not verified: its claim names no graph" if claims else "not verified against PyTorch"

    @property
    def is_verified(self) -> bool:
        """Whether these very bytes were compared with PyTorch, and passed."""
        return not self.changed and self.parity is not None and self.parity.passed and self.is_bound

    @property
    def is_bound(self) -> bool:
        """Whether the claim of parity is about certain bytes: of a graph, or of a plan."""
        return self.graph_sha256 is not None or self.engine is not None

    def doubt(self, *names: str) -> str:
        """What a message is to add where one of these fields is assumed; else nothing."""
        return " (a guess: the file does not say)" if set(names) & set(self.assumed) else ""

    def to_json(self) -> str:
        """One line of JSON, the same for equal specs."""
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name != "changed"}
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; fields of a later version that are not known here are passed over.

        Raises:
            SpecError: the text is not JSON, has mistyped or missing fields, contradicts itself, or is of another
                format version.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"spec: not JSON ({error})") from error
        if not isinstance(fields, dict):
            raise SpecError(f"spec: expected a JSON object, got {type(fields).__name__}")
        if (version := fields.get("format_version")) != FORMAT_VERSION:
            raise SpecError(f"spec: format version {version!r}; expected {FORMAT_VERSION}: upgrade or re-export")
        try:
            for name, (kind, make) in _PARTS.items():
                if fields.get(name) is not None:
                    fields[name] = make(**known_fields(kind, fields[name]))
                    check_types(fields[name], f"{name}.")
            spec = cls(**{**known_fields(cls, fields), "changed": False})
            check_types(spec)
            refuse_contradictions(spec.parity, spec.verified, spec.precision)
            return spec
        except (TypeError, RecursionError, OverflowError) as error:
            raise SpecError(f"spec: {error}") from error


_PARTS: dict[str, tuple[type, Callable[..., Any]]] = {
    "architecture": (Architecture, Architecture),
    "parity": (Parity, parity_of),
    "engine": (Engine, Engine),
    "answer": (Answer, Answer),
}

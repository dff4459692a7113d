"""Build a TensorRT plan of a graph: one builder for TensorRT 10.12 and later, TensorRT 11 and TensorRT-RTX.

It is written against the module it is handed and asks it what it has. Precision is in the graph's types alone:
networks are strongly typed, and what the builder made of them is read back, for a flag that no longer exists is
ignored by some tools without a word.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from nafnet.errors import EngineError, UsageError
from nafnet.export.engines.layers import read_layers, refuse_wrong_precision
from nafnet.export.engines.log import Log, log_of
from nafnet.export.engines.progress import Stop, interruptible, make_monitor
from nafnet.files import cache_folder, write_whole
from nafnet.spec import Engine, ModelSpec
from nafnet.steps import OnStep, unwatched

Shape = tuple[int, ...]
MIB = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How to build; None leaves a choice to the library."""

    workspace_mib: int | None = None
    """Most scratch memory of the GPU, in MiB."""
    optimization_level: int | None = None
    """0 to 5: how long to search for fast kernels."""
    version_compatible: bool = False
    """The plan loads in later versions of the same major one; somewhat slower."""
    hardware_compatible: bool = False
    """The plan runs on every GPU from Ampere on; slower. TensorRT alone."""
    compute_capabilities: tuple[str, ...] = ()
    """What to build for, e.g. SM89; TensorRT-RTX alone, which needs no GPU for it."""
    log: Path | None = None
    """Write all that the builder says to this file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Built:
    """A finished plan."""

    plan: bytes
    engine: Engine
    warnings: tuple[str, ...]


def build(
    trt: Any, flavour: str, model: bytes, spec: ModelSpec, shapes: tuple[Shape, Shape, Shape],
    settings: EngineSettings, on_step: OnStep = unwatched,
) -> Built:  # fmt: skip
    """Build `model`, an ONNX file's bytes.

    Args:
        trt: tensorrt, or one of TensorRT-RTX's modules.
        flavour: tensorrt or tensorrt-rtx.
        spec: of the graph; its precision is what the plan must have.
        shapes: smallest, best and largest shape of the input.
        on_step: told of the builder's phases.

    Raises:
        UsageError: the library has not what the settings ask for.
        EngineError: the library cannot parse or build it; the message has its own last word.
        ParityError: the layers did not come out in the precision of the spec.
        KeyboardInterrupt: on Ctrl-C, which stops the build at its next step.
    """
    refuse_settings(trt, flavour, settings)
    with interruptible() as stop, log_of(trt, settings.log) as log:
        plan, device, network = _build_plan(trt, flavour, model, shapes, settings, on_step, stop, log)
        layers, source = read_layers(trt, log.logger, network, plan)
        refuse_wrong_precision(layers, spec.precision)
        engine = Engine(
            flavour=flavour, version=trt.__version__, device=device, profiles=(shapes,), layers=layers,
            layers_read_from=source, plan_sha256=hashlib.sha256(plan).hexdigest(),
        )  # fmt: skip
        return Built(plan=plan, engine=engine, warnings=tuple(log.warnings))


def _build_plan(
    trt: Any, flavour: str, model: bytes, shapes: tuple[Shape, Shape, Shape], settings: EngineSettings,
    on_step: OnStep, stop: Stop, log: Log,
) -> tuple[bytes, str, Any]:  # fmt: skip
    """The plan, the device it is for, and the network it was built from."""
    builder = trt.Builder(log.logger)
    network = _parse(trt, builder, log, model)
    config = _configure(trt, builder, network, shapes, settings)
    config.progress_monitor = make_monitor(trt, on_step, stop)
    device = _device(settings)
    cache = _open_timing_cache(config, flavour, trt.__version__, device)
    memory = builder.build_serialized_network(network, config)
    if memory is None:
        raise EngineError(f"{flavour} {trt.__version__} cannot build the engine: {log.last_error()}")
    if cache:
        write_whole(cache, bytes(config.get_timing_cache().serialize()))
    return bytes(memory), device, network


def _parse(trt: Any, builder: Any, log: Log, model: bytes) -> Any:
    """The strongly typed network of a graph."""
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse(model):
        reasons = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise EngineError(f"TensorRT cannot parse the graph: {reasons[0] if reasons else log.last_error()}")
    return network


def _configure(
    trt: Any, builder: Any, network: Any, shapes: tuple[Shape, Shape, Shape], settings: EngineSettings
) -> Any:
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape(network.get_input(0).name, *shapes)
    config.add_optimization_profile(profile)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the inspector
    if settings.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib * MIB)
    if settings.optimization_level is not None:
        config.builder_optimization_level = settings.optimization_level
    if settings.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if settings.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if settings.compute_capabilities:
        config.num_compute_capabilities = len(settings.compute_capabilities)
        for index, name in enumerate(settings.compute_capabilities):
            config.set_compute_capability(trt.ComputeCapability.__members__[name.upper()], index)
    return config


def refuse_settings(trt: Any, flavour: str, settings: EngineSettings) -> None:
    """Raise UsageError for what the library cannot build, before any work is done."""
    if settings.hardware_compatible and flavour == "tensorrt-rtx":
        raise UsageError("--hardware-compatible: TensorRT-RTX has no such mode; name GPUs by --compute-capability")
    names = settings.compute_capabilities
    if not names:
        return
    known = getattr(trt, "ComputeCapability", None)
    if known is None or flavour != "tensorrt-rtx":
        raise UsageError("--compute-capability: TensorRT builds for the GPU it runs on; use --format tensorrt-rtx")
    offered = [member for member in known.__members__ if member.startswith("SM")]
    for name in names:
        if name.upper() not in offered:
            listed = ", ".join(offered)
            raise UsageError(f"--compute-capability {name}: TensorRT-RTX {trt.__version__} builds for {listed}")
    if len({name.upper() for name in names}) < len(names):
        raise UsageError(f"--compute-capability {', '.join(names)}: each one once")


def _device(settings: EngineSettings) -> str:
    """What the plan will run on."""
    if settings.compute_capabilities:
        return ", ".join(name.upper() for name in settings.compute_capabilities)
    import torch

    if not torch.cuda.is_available():
        return "any that the library supports"
    major, minor = torch.cuda.get_device_capability()
    return f"{torch.cuda.get_device_name()} (SM{major}{minor})"


def _open_timing_cache(config: Any, flavour: str, version: str, device: str) -> Path | None:
    """Give the builder what earlier builds measured with this version on this GPU; says where to write it back."""
    if flavour == "tensorrt-rtx":
        return None  # it measures nothing when it builds
    slug = "".join(character if character.isalnum() else "-" for character in f"{flavour}-{version}-{device}")
    path = cache_folder("timing") / f"{slug}.cache"
    known = path.read_bytes() if path.exists() else b""
    cache = config.create_timing_cache(known) or config.create_timing_cache(b"")
    config.set_timing_cache(cache, ignore_mismatch=False)
    return path

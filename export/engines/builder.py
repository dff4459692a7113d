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

from nafnet.enginelog import Log, log_of
from nafnet.errors import EngineError, UsageError
from nafnet.export.engines.layers import read_engine, refuse_wrong_precision, shares_of_network
from nafnet.export.engines.progress import Stop, interruptible, make_monitor
from nafnet.files import cache_folder, write_whole
from nafnet.planfile import Gpu
from nafnet.spec import Engine, ModelSpec
from nafnet.steps import OnStep, unwatched
from nafnet.system import nvidia

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
    with interruptible() as stop, log_of(trt).recording(settings.log) as log:
        plan, device, network = _build_plan(trt, flavour, model, shapes, settings, on_step, stop, log)
        # A builder may fuse the typed network's layers and not change their types: it is what is judged. Of a finished
        # engine, whose one fused layer may end in fp32, there would be little to judge.
        typed = shares_of_network(trt, network)
        refuse_wrong_precision(typed, spec.precision)
        finished = read_engine(trt, log.logger, plan) if runs_here(trt, flavour, settings, plan) else {}
        engine = Engine(
            flavour=flavour, version=trt.__version__, device=device, profiles=(shapes,), layers=finished or typed,
            layers_read_from="engine" if finished else "network", plan_sha256=hashlib.sha256(plan).hexdigest(),
            version_compatible=settings.version_compatible, hardware_compatible=settings.hardware_compatible,
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
    device = _device(flavour, settings)
    cache = _open_timing_cache(config, flavour, trt.__version__, device)
    memory = builder.build_serialized_network(network, config)
    if memory is None:
        raise EngineError(f"{flavour} {trt.__version__} cannot build the engine: {log.last_error()}")
    if cache and (measured := config.get_timing_cache()) is not None:
        write_whole(cache, bytes(measured.serialize()))
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
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"TensorRT {trt.__version__} takes no inputs from {list(shapes[0])} to {list(shapes[2])}")
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and fp32 would then be computed with 10 bits of mantissa
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
            if not config.set_compute_capability(trt.ComputeCapability.__members__[name.upper()], index):
                raise EngineError(f"TensorRT-RTX {trt.__version__} does not build for {name} beside the others")
    return config


def refuse_settings(trt: Any, flavour: str, settings: EngineSettings) -> None:
    """Raise UsageError for what the library cannot build, before any work is done."""
    if settings.hardware_compatible and flavour == "tensorrt-rtx":
        raise UsageError("--hardware-compatible: TensorRT-RTX has no such mode; name GPUs by --compute-capability")
    if settings.version_compatible and flavour == "tensorrt-rtx":
        raise UsageError("--version-compatible: TensorRT-RTX loads its own version's plans alone; leave it out")
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


def gpu_here() -> Gpu | None:
    """The GPU of this machine, if there is one."""
    import torch

    if not torch.cuda.is_available():
        return None
    return Gpu(torch.cuda.get_device_name(), *torch.cuda.get_device_capability())


def runs_here(trt: Any, flavour: str, settings: EngineSettings, plan: bytes) -> bool:
    """Whether the engine is for the GPU of this machine: TensorRT's always is, of TensorRT-RTX's the library knows."""
    gpu = gpu_here()
    if gpu is None or flavour == "tensorrt":
        return gpu is not None
    if nvidia.old_tensorrt_driver(flavour):  # PyTorch may be built for an earlier CUDA than it is
        return False
    asked = [name.upper() for name in settings.compute_capabilities]
    if gpu.capability not in (asked or trt.ComputeCapability.__members__):
        return False
    ask = getattr(trt.Runtime(log_of(trt).logger), "get_engine_validity", None)
    return ask is None or ask(plan)[0] != trt.EngineValidity.INVALID


def _device(flavour: str, settings: EngineSettings) -> str:
    """What the plan will run on."""
    if settings.compute_capabilities:
        return ", ".join(name.upper() for name in settings.compute_capabilities)
    gpu = gpu_here()
    return str(gpu) if gpu and flavour == "tensorrt" else "any that the library supports"


def _open_timing_cache(config: Any, flavour: str, version: str, device: str) -> Path | None:
    """Give the builder what earlier builds measured with this version on this GPU; says where to write it back."""
    if flavour == "tensorrt-rtx":
        return None  # it measures nothing when it builds
    slug = "".join(character if character.isalnum() else "-" for character in f"{flavour}-{version}-{device}")
    path = cache_folder("timing") / f"{slug}.cache"
    for known in (path.read_bytes() if path.exists() else b"", b""):  # what is damaged is measured anew
        cache = config.create_timing_cache(known)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return path
    return None

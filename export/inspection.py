"""What a file is: a checkpoint, an ONNX model or a TensorRT plan, in lines of a name and a value."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path

import onnx

from nafnet.checkpoint import load_checkpoint
from nafnet.errors import ModelError
from nafnet.files import file_sha256
from nafnet.onnxfile import inspect_onnx, read_onnx
from nafnet.planfile import inspect_plan
from nafnet.spec import ModelSpec
from nafnet.words import counted

Line = tuple[str, str]
CHECKPOINTS = (".safetensors", ".pth", ".pt", ".ckpt")
PLANS = (".plan", ".engine")


def inspect(path: Path) -> list[Line]:
    """Everything known of a file, from its contents and never from its name; only its kind is told by the ending.

    Raises:
        NafnetError: it is missing, of no known kind, unreadable, unsafe, or not what its spec says.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; expected a checkpoint, an ONNX model or a TensorRT plan")
    if path.suffix in CHECKPOINTS:
        lines = list(_checkpoint(path))
    elif path.suffix == ".onnx":
        lines = list(_onnx(path))
    elif path.suffix in PLANS:
        lines = list(_plan(path))
    else:
        known = ", ".join((*CHECKPOINTS, ".onnx", *PLANS))
        raise ModelError(f"{path}: not a model by its ending; expected one of {known}")
    return [("file", f"{path}, {path.stat().st_size / 1e6:.1f} MB, SHA-256 {file_sha256(path)}"), *lines]


def _checkpoint(path: Path) -> Iterator[Line]:
    checkpoint = load_checkpoint(path)
    count = sum(tensor.numel() for tensor in checkpoint.state_dict.values())
    yield "kind", "checkpoint (PyTorch)"
    yield "parameters", f"{count / 1e6:.2f} M in {len(checkpoint.state_dict)} tensors"
    if checkpoint.left_out:
        yield "left out", ", ".join(checkpoint.left_out)
    yield from _spec(checkpoint.spec)


def _onnx(path: Path) -> Iterator[Line]:
    spec, model = inspect_onnx(path), read_onnx(path)
    opset = next((entry.version for entry in model.opset_import if not entry.domain), 0)
    counts = collections.Counter(node.op_type for node in model.graph.node)
    kinds = collections.Counter[str]()
    for tensor in model.graph.initializer:
        kinds[onnx.TensorProto.DataType.Name(tensor.data_type).lower()] += tensor.ByteSize()
    yield "kind", f"ONNX, opset {opset}, written by {model.producer_name or 'nobody named'} {model.producer_version}"
    yield "operators", ", ".join(f"{count} {name}" for name, count in counts.most_common())
    yield "weights", ", ".join(f"{size / 1e6:.2f} MB {kind}" for kind, size in kinds.most_common())
    yield from _spec(spec)


def _plan(path: Path) -> Iterator[Line]:
    spec = inspect_plan(path)
    engine = spec.engine
    assert engine is not None
    yield "kind", f"{engine.flavour} {engine.version} plan for {engine.device}; its hash is that in {path.name}.json"
    for low, best, high in engine.profiles:
        yield "profile", f"{list(low)} to {list(high)}, best at {list(best)}"
    layers = ", ".join(f"{share:.1%} {kind}" for kind, share in engine.layers.items())
    yield "layers", f"{layers} (read from the {engine.layers_read_from})"
    yield from _spec(spec)


def _spec(spec: ModelSpec) -> Iterator[Line]:
    """What any spec says."""
    yield "architecture", str(spec.architecture or "unknown: a foreign file without a spec")
    yield "task", "unknown" if "task" in spec.assumed else spec.task
    size = f"{spec.tile}x{spec.tile} exactly" if spec.fixed_shape else f"any multiple of {spec.multiple}"
    layout = f"[N,H,W,{spec.channels}]" if spec.io == "uint8" else f"[N,{spec.channels},H,W]"
    yield "input", f"{spec.io}{layout}, {spec.colour_order}{spec.doubt('colour_order')}, H and W {size}"
    yield "tiles", f"{spec.tile}{spec.doubt('tile')}, overlap {spec.overlap}{spec.doubt('overlap')}"
    yield "trained on", "unknown" if "train_patch" in spec.assumed else f"patches of {spec.train_patch}"
    norm = f", LayerNorm as {spec.norm}" if spec.norm else ""
    scale = f", residual stream scaled by {list(spec.residual_scale)}" if spec.residual_scale else ""
    yield "precision", "unknown" if "precision" in spec.assumed else f"{spec.precision}{norm}{scale}"
    pooling = f"{'on' if spec.local_pooling else 'off'}{spec.doubt('local_pooling')}"
    yield "local pooling", pooling if spec.architecture else "unknown: in the graph, if at all"
    if spec.half_layers:
        yield "kept in half", ", ".join(spec.half_layers)
    yield from _parity(spec)
    if spec.precision == "int8" and spec.parity:
        loss = spec.parity.truth_loss
        yield "ground truth", "not measured: no clean pictures" if loss is None else f"{loss:.3f} dB lost"
    yield "weights SHA-256", spec.weights_sha256 or "unknown"
    if spec.exported_by:
        yield "exported by", spec.exported_by


def _parity(spec: ModelSpec) -> Iterator[Line]:
    parity, title = spec.parity, "parity"
    if spec.changed:
        yield title, "changed since it was compared with PyTorch: nothing is known of it; export it anew"
        return
    if parity is None:
        not_compared = (
            "not verified: exported with --no-verify" if spec.verified is False else "none: nobody compared it"
        )
        yield title, not_compared
        return
    figures = f"{parity.psnr:.1f} dB or more, largest difference {parity.max_abs:.1e}"
    given = f"gives what PyTorch gives ({figures})" if parity.passed else f"refused ({figures})"
    unbound = "" if spec.is_bound else "; the claim names no graph, so it is not verified: export it anew"
    compared = counted(parity.cases, "comparison")
    yield title, f"{given}, in {compared}{unbound}; this says nothing about how good the pictures are"
    for each in parity.executors:
        yield "compared on", str(each)

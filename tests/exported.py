"""PyTorch's exporter, which takes seconds, once for each kind of network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from tests.sharing import Once


class Exporter:
    """PyTorch's exporter, which takes seconds even for a network of a few layers, called once for each kind of network.

    What comes out follows from the module's classes and their code, its settings, the arguments and which weights are
    equal; where these were seen before, in any worker, so was the graph. Weights are initializers under their own
    names, and are put there anew. A graph in which one is missing, because the exporter has worked with its values, is
    kept for these values alone.

    Args:
        once: where graphs are kept.
    """

    def __init__(self, once: Once) -> None:
        self._once, self._export = once, torch.onnx.export

    def __call__(self, module: nn.Module, inputs: tuple[torch.Tensor, ...], **options: Any) -> Any:
        weights = dict([*module.named_parameters(), *module.named_buffers()])
        contents = {name: _bytes(tensor) for name, tensor in weights.items()}
        # Those that are equal become one, zeros of either sign among them.
        values = {name: (tensor.shape, _bytes(tensor + 0)) for name, tensor in weights.items()}
        alike = {value: name for name, value in reversed(values.items())}
        kept_as = {name: alike[value] for name, value in values.items()}

        def make(path: Path) -> None:
            program = self._export(module, inputs, **options)
            assert program is not None
            proto = program.model_proto
            held = {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}
            found = {
                kept_as[name] for name, content in contents.items() if name in held and held[name].tobytes() == content
            }
            as_they_are = found == set(kept_as.values())
            others = [held[name] for name in held.keys() - contents.keys()]
            # A vector of ones is a constant of the module's; what varies was made of weights.
            is_general = as_they_are and not any(each.dtype.kind == "f" and np.ptp(each) for each in others)
            path.mkdir()
            (path / f"{'any' if is_general else 'these'}.onnx").write_bytes(proto.SerializeToString())

        digest = hashlib.sha256(f"{[(tuple(each.shape), each.dtype) for each in inputs]} {options}".encode())
        for name, part in module.named_modules():
            assert not part._forward_hooks, "a hook is code that is not looked at"
            settings = {key: value for key, value in vars(part).items() if not isinstance(value, dict | set)}
            digest.update(f"{name} {type(part)} {_code_of(type(part))} {settings}\n".encode())
        for name, tensor in weights.items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} {kept_as[name]}\n".encode())
        kept = self._once(digest.hexdigest()[:32], make)
        if (kept / "any.onnx").exists():
            proto = onnx.load(kept / "any.onnx")
            for each in proto.graph.initializer:
                if each.name in contents:
                    each.raw_data = contents[each.name]
            return SimpleNamespace(model_proto=proto)
        for content in contents.values():
            digest.update(content)
        return SimpleNamespace(model_proto=onnx.load(next(self._once(digest.hexdigest()[:32], make).iterdir())))


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().flatten().view(torch.uint8).numpy().tobytes()


def _code_of(kind: type) -> str:
    """Of all methods of a module's class, and of the functions and the constants that they use."""
    found: dict[str, str] = {}
    for base in kind.__mro__[: kind.__mro__.index(nn.Module)]:
        if not base.__module__.startswith("torch."):
            for name, function in vars(base).items():
                if isinstance(function, FunctionType):
                    _collect(f"{base.__qualname__}.{name}", function, found)
    return str(sorted(found.items()))


def _collect(name: str, function: FunctionType, found: dict[str, str]) -> None:
    if name in found:
        return
    found[name] = _text(function.__code__) + str([cell.cell_contents for cell in function.__closure__ or ()])
    for used in function.__code__.co_names:
        value = function.__globals__.get(used)
        if isinstance(value, FunctionType) and value.__module__.startswith(("nafnet.", "tests.")):
            _collect(f"{value.__module__}.{used}", value, found)
        elif isinstance(value, int | float | str | tuple):
            found[used] = repr(value)


def _text(code: CodeType) -> str:
    constants = [_text(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"

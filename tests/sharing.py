"""What is dear to make is made once, whichever worker of pytest-xdist needs it first."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

import onnx
import pytest
import torch
from filelock import FileLock
from torch import nn


class Once:
    """A folder of all workers of one run, whose entries are made once.

    Args:
        factory: pytest's.
    """

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        own = factory.getbasetemp()
        self._folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "once"
        self._folder.mkdir(exist_ok=True)

    def __call__(self, name: str, make: Callable[[Path], object]) -> Path:
        """The file or folder of this name, which `make` writes to the path it is given; the others wait for it."""
        path = self._folder / name
        with FileLock(self._folder / f"{name}.lock"):
            if not path.exists():
                aside = path.with_name(f"{name}.partial")
                make(aside)
                aside.rename(path)
        return path


class Exporter:
    """PyTorch's exporter, which takes seconds even for a network of a few layers, called once for each network.

    What comes out follows from the module's classes and their code, its settings and weights, and the arguments; where
    these were seen before, in any worker, so was the graph.

    Args:
        once: where graphs are kept.
    """

    def __init__(self, once: Once) -> None:
        self._once, self._export = once, torch.onnx.export

    def __call__(self, module: nn.Module, inputs: tuple[torch.Tensor, ...], **options: Any) -> Any:
        def make(path: Path) -> None:
            program = self._export(module, inputs, **options)
            assert program is not None
            path.write_bytes(program.model_proto.SerializeToString())

        digest = hashlib.sha256(f"{[(tuple(each.shape), each.dtype) for each in inputs]} {options}".encode())
        for name, part in module.named_modules():
            assert not part._forward_hooks, "a hook is code that is not looked at"
            settings = {key: value for key, value in vars(part).items() if not isinstance(value, dict | set)}
            digest.update(f"{name} {type(part)} {_code_of(type(part))} {settings}\n".encode())
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy())
        path = self._once(f"{digest.hexdigest()[:32]}.onnx", make)
        return SimpleNamespace(model_proto=onnx.load(path))


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

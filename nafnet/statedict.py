"""Where a network's weights stand in what trainers save: under which keys, behind which prefixes, beside what else.

Averaged weights come before all others: they are what their authors evaluate.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nafnet.errors import CheckpointError
from nafnet.words import counted

StateDict = dict[str, Tensor]

# Keys under which trainers keep the weights.
AVERAGED = (
    "params_ema", "state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "ema", "averaged_model", "shadow",
)  # fmt: skip
WRAPPERS = (*AVERAGED, "params", "state_dict", "model_state_dict", "model", "net", "network", "module")
PREFIXES = ("module.", "generator.", "net_g.", "netG.", "model.")
"""Some that are met; a network is found under any."""
MOST_WRAPPERS = 8  # deeper than any trainer nests them; a dict that holds itself has no end
_FIRST = "intro.weight"  # of a NAFNet alone; what stands before it is the prefix
_COMPILED = re.compile(r"(?<![^.])_orig_mod\.")  # put in by torch.compile, wherever a module was compiled
_AVERAGE = re.compile(r"(?:^|[._])(?:ema|avg|averaged?|shadow)(?:[._]|$)", re.IGNORECASE)


def unwrapped(content: Any, path: Path) -> StateDict:
    """The state dict inside any known wrapper, or inside any chain of single-key dicts.

    Raises:
        CheckpointError: there is none.
    """
    for named in (True, False):
        if (found := _weights(content, path, MOST_WRAPPERS, named=named)) is not None:
            return found
    if isinstance(content, dict) and not any(isinstance(value, dict | Tensor) for value in content.values()):
        keys = ", ".join(map(str, list(content)[:5]))
        raise CheckpointError(f"{path}: no weights under its keys ({keys}); known are {', '.join(WRAPPERS)}")
    raise CheckpointError(f"{path}: holds a {type(content).__name__}, not the state dict of a NAFNet")


def _weights(content: Any, path: Path, depth: int, *, named: bool) -> StateDict | None:
    """The first dict of tensors in it, averaged ones before all others of one level.

    Args:
        content: of a file, or of a dict in it.
        path: of the file.
        depth: how far to look.
        named: take none without a NAFNet's names; else none that holds anything beside tensors.
    """
    if not isinstance(content, dict) or not content or not depth:
        return None
    if any(not isinstance(name, str) for name in content):
        raise CheckpointError(f"{path}: its keys are not all names; expected the state dict of a NAFNet")
    inner = [key for key in WRAPPERS if isinstance(content.get(key), dict)] or list(content) * (len(content) == 1)
    for key in inner:
        if (found := _weights(content[key], path, depth - 1, named=named)) is not None:
            return found
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    usable = any(name.endswith(_FIRST) for name in tensors) if named else len(tensors) == len(content)
    return tensors if usable else None


def network_tensors(tensors: StateDict, source: Path) -> tuple[StateDict, tuple[str, ...]]:
    """The network's tensors in float32 without their prefix, and the names of what is beside it.

    What stands under the network's own prefix is all of it: what does not belong there makes it another network.

    Raises:
        CheckpointError: there are two networks, or weights that cannot be used.
    """
    plain = {_COMPILED.sub("", name): tensor for name, tensor in tensors.items()}
    if len(plain) < len(tensors):
        raise CheckpointError(f"{source}: holds weights twice, compiled and not; save one of the two by itself")
    prefix = _prefix(list(plain), source)
    state = {name.removeprefix(prefix): tensor for name, tensor in plain.items() if name.startswith(prefix)}
    for name, tensor in state.items():
        if reason := _unusable(tensor):
            raise CheckpointError(f"{source}: {name} {reason}; expected finite floats, dense and real")
    left_out = tuple(sorted(name for name in plain if not name.startswith(prefix)))
    return {name: tensor.float() for name, tensor in state.items()}, left_out


def _prefix(names: list[str], source: Path) -> str:
    """What the names of the network's tensors begin with; of several networks that of the averaged one."""
    found = [name.removesuffix(_FIRST) for name in names if f".{name}".endswith(f".{_FIRST}")]
    if len(found) > 1:
        found = [prefix for prefix in found if _AVERAGE.search(prefix)] or found
    if len(found) > 1:
        raise CheckpointError(
            f"{source}: holds {len(found)} networks, under {' and '.join(found)}; save the one that is meant by itself"
        )
    return found[0] if found else _common_prefix(names)


def _common_prefix(names: list[str]) -> str:
    """Known wrappers' prefixes that all names share, singly and nested: for a network of another kind."""
    shared = ""
    while more := next((p for p in PREFIXES if names and all(name.startswith(shared + p) for name in names)), None):
        shared += more
    return shared


def _unusable(tensor: Tensor) -> str | None:
    """Why these are no weights to compute with, or None."""
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout is not torch.strided:
        return f"is sparse ({str(tensor.layout).removeprefix('torch.')})"
    if not tensor.is_floating_point():
        return f"is {kind}" + (": quantised weights" if "int8" in kind else "")
    if tensor.is_meta:
        return "has a shape and no values"
    finite = tensor.float().isfinite()
    if not finite.all():
        return f"has {counted(int((~finite).sum()), 'value')} that are NaN or infinite"
    return None

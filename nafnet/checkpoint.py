"""Read every known NAFNet checkpoint layout; write safetensors that say what they are.

Everything about the architecture is inferred from the tensors' names and shapes, so that the checkpoints the
authors published, and those of the trainers built around NAFNet, load with no flag. Pickles are read with
``weights_only=True`` and never otherwise.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
import re
import warnings
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from nafnet.architecture import NAFNet
from nafnet.errors import CheckpointError, SpecError
from nafnet.filekind import first_bytes, refuse_other
from nafnet.files import write_whole
from nafnet.spec import METADATA_KEY, UNTOLD, Architecture, ModelSpec
from nafnet.statedict import StateDict, network_tensors, unwrapped
from nafnet.words import counted

_BLOCK = re.compile(r"(encoders\.\d+|decoders\.\d+|middle_blks)\.(\d+)\.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights and what they say about themselves."""

    state_dict: StateDict
    """float32, upstream's names, no prefix."""
    spec: ModelSpec
    """From the file where it holds one; else architecture and hash alone are known, and the rest is `assumed`."""
    source: Path
    left_out: tuple[str, ...] = ()
    """Names of the file's tensors that are beside the network: of a loss, a counter, another network."""

    @property
    def note(self) -> str | None:
        """A line for the user about what was left out; None where all of the file is the network."""
        if not self.left_out:
            return None
        named = ", ".join(self.left_out[:3]) + (", ..." if len(self.left_out) > 3 else "")
        return f"{self.source}: left out {counted(len(self.left_out), 'tensor')} beside the network: {named}"

    def build(self, *, local_pooling: bool | None = None) -> NAFNet:
        """The PyTorch module in eval mode. `local_pooling` overrides the spec."""
        assert self.spec.architecture is not None
        pooling = self.spec.local_pooling if local_pooling is None else local_pooling
        model = NAFNet(self.spec.architecture, local_pooling=pooling, train_patch=self.spec.train_patch)
        model.load_state_dict(self.state_dict)
        return model.eval()


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a `.safetensors` or a PyTorch file (`.pth`, `.pt`, `.ckpt`).

    Raises:
        CheckpointError: missing, unreadable, unsafe, or not a NAFNet; the message says which.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected a NAFNet checkpoint")
    if path.suffix == ".safetensors":
        refuse_other(path, "safetensors file", CheckpointError)
        tensors, spec = _read_safetensors(path)
    else:
        refuse_other(path, "PyTorch checkpoint", CheckpointError)
        tensors, spec = _read_pickle(path), None
    state_dict, left_out = network_tensors(tensors, path)
    architecture = infer_architecture(state_dict, path)
    digest = weights_sha256(state_dict)
    if spec is None:
        spec = ModelSpec(
            architecture=architecture,
            channels=architecture.channels,
            multiple=architecture.multiple,
            weights_sha256=digest,
            assumed=UNTOLD,
        )
    elif (spec.architecture, spec.channels, spec.multiple, spec.weights_sha256) != (
        architecture, architecture.channels, architecture.multiple, digest,
    ):  # fmt: skip
        raise CheckpointError(f"{path}: the spec inside does not belong to these weights; write the file anew")
    return Checkpoint(state_dict=state_dict, spec=spec, source=path, left_out=left_out)


def save_checkpoint(path: Path, state_dict: StateDict, spec: ModelSpec) -> ModelSpec:
    """Write safetensors with the spec inside, whole or not at all; returns the spec with the weights' hash."""
    tensors = {name: tensor.detach().cpu().float().contiguous() for name, tensor in state_dict.items()}
    spec = spec.replace(weights_sha256=weights_sha256(tensors))
    write_whole(path, safetensors.torch.save(tensors, metadata={METADATA_KEY: spec.to_json()}))
    return spec


def weights_sha256(state_dict: StateDict) -> str:
    """SHA-256 over names, shapes and little-endian float32 bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name].detach().cpu().float().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def infer_architecture(state_dict: StateDict, source: Path | str = "checkpoint") -> Architecture:
    """The architecture whose parameters these are, from names and shapes alone.

    Raises:
        CheckpointError: they are another network's; stereo (NAFSSR) and Baseline checkpoints are named as such.
    """
    _refuse_relatives(state_dict, source)
    counts: dict[str, int] = {}
    for name in state_dict:
        if match := _BLOCK.match(name):
            counts[match[1]] = max(counts.get(match[1], 0), int(match[2]) + 1)
    levels = len([name for name in state_dict if re.fullmatch(r"downs\.\d+\.weight", name)])
    try:
        width, channels = state_dict["intro.weight"].shape[:2]
        block = next(m[0] for name in state_dict if (m := _BLOCK.match(name)))
        inner, block_width = state_dict[f"{block}conv1.weight"].shape[:2]
        wide = state_dict[f"{block}conv4.weight"].shape[0]
        architecture = Architecture(
            channels=channels,
            width=width,
            encoder_blocks=tuple(counts.get(f"encoders.{i}", 0) for i in range(levels)),
            middle_blocks=counts.get("middle_blks", 0),
            decoder_blocks=tuple(counts.get(f"decoders.{i}", 0) for i in range(levels)),
            dw_expand=inner // block_width,
            ffn_expand=wide // block_width,
        )
    except (KeyError, IndexError, StopIteration, ValueError, ZeroDivisionError, SpecError) as error:
        some = ", ".join(list(state_dict)[:3])
        raise CheckpointError(
            f"{source}: not a NAFNet checkpoint: {counted(len(state_dict), 'tensor')} ({some}, ...), "
            "expected intro, encoders, downs, middle_blks, ups, decoders, ending"
        ) from error
    if sum(counts.values()) > len(state_dict):  # each block has many tensors; numbers with gaps name none
        raise CheckpointError(
            f"{source}: looks like {architecture}, but has {counted(len(state_dict), 'tensor')} alone"
        )
    _check_shapes(state_dict, architecture, source)
    return architecture


def _check_shapes(state_dict: StateDict, architecture: Architecture, source: Path | str) -> None:
    """Every tensor of the architecture must be there with its shape, and no other."""
    with torch.device("meta"):
        expected = {name: tuple(t.shape) for name, t in NAFNet(architecture).state_dict().items()}
    found = {name: tuple(t.shape) for name, t in state_dict.items()}
    wrong = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if wrong:
        first = wrong[0]
        raise CheckpointError(
            f"{source}: looks like {architecture}, but for {counted(len(wrong), 'tensor')}: "
            f"{first} is {found.get(first, 'missing')}, expected {expected.get(first, 'none')}"
        )


def _refuse_relatives(state_dict: StateDict, source: Path | str) -> None:
    if any(".scam." in name or name.startswith(("body.", "up.")) for name in state_dict):
        raise CheckpointError(f"{source}: this is a NAFSSR (stereo) checkpoint; only single-image NAFNet is supported")
    if "intro.weight" in state_dict and any(re.search(r"\.(se|cab|attn)\.\d", name) for name in state_dict):
        raise CheckpointError(f"{source}: this is a Baseline checkpoint (GELU and SE); only NAFNet is supported")


def _read_safetensors(path: Path) -> tuple[StateDict, ModelSpec | None]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it cannot be iterated itself
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
    text = metadata.get(METADATA_KEY)
    return tensors, None if text is None else ModelSpec.from_json(text)


def _read_pickle(path: Path) -> StateDict:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's protocol, which for a damaged file is any number
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the unpickler raise nearly anything, IndexError for one
        raise _unreadable(path, error) from error
    return unwrapped(content, path)


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    """What is wrong with a pickle, which is little else than a program: PyTorch's reader runs none of it."""
    text = str(error) or type(error).__name__
    if not isinstance(error, pickle.UnpicklingError):
        return CheckpointError(f"{path}: not a readable PyTorch checkpoint ({text.splitlines()[0]})")
    if "Unsupported operand" in text:  # not an instruction that torch.save writes
        return CheckpointError(
            f"{path}: not written by torch.save, or damaged ({first_bytes(path)}); expected a PyTorch checkpoint"
        )
    named = re.search(r"GLOBAL (\S+)", text)
    return CheckpointError(
        f"{path}: refused: it holds more than tensors{f' ({named[1]})' if named else ''}, and reading it could run "
        "code; re-save its state dict as safetensors"
    )

"""The page's folder: its own files, the model, the library, and `model.json`, which says what all of it is."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from nafnet.errors import UsageError
from nafnet.export.web import library
from nafnet.export.web.server import HEADERS
from nafnet.files import write_whole
from nafnet.kept_tile import kept_tile, places
from nafnet.parity import GATES
from nafnet.spec import ModelSpec

FORMAT_VERSION = 1
CARD, INDEX, MODEL_CARD = "model.json", "index.html", "model-card.md"
LIBRARY_FOLDER = "onnxruntime-web"
_MODELS = {"fp32": "model-fp32.onnx", "fp16": "model-fp16.onnx"}
_LARGEST_CARD = 1 << 22


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A model of the page: one in fp32, one in fp16, or both."""

    content: bytes
    """An ONNX file."""
    spec: ModelSpec

    @property
    def name(self) -> str:
        """Of its file."""
        return _MODELS[self.spec.precision]


def write_folder(folder: Path, models: Sequence[Model], files_of: library.Library, card: Path | None) -> list[Path]:
    """Write a page to `folder`, over the files of an earlier one; `model.json` comes last.

    Args:
        models: forms of one network; the first states the tiles.
        files_of: the library.
        card: a document about the checkpoint, in Markdown.

    Returns:
        The page, and its models.
    """
    (folder / LIBRARY_FOLDER).mkdir(parents=True, exist_ok=True)
    for name, content in (*assets().items(), *files_of.items()):
        write_whole(folder / LIBRARY_FOLDER / name if name in library.FILES else folder / name, content)
    write_whole(folder / "_headers", _headers().encode())
    for model in models:
        write_whole(folder / model.name, model.content)
    for name in set(_MODELS.values()) - {model.name for model in models}:
        (folder / name).unlink(missing_ok=True)
    if card:
        write_whole(folder / MODEL_CARD, card.read_bytes())
    else:
        (folder / MODEL_CARD).unlink(missing_ok=True)
    write_whole(folder / CARD, json.dumps(_card(models, has_card=card is not None)).encode())
    return [folder / INDEX, *(folder / model.name for model in models)]


def assets() -> dict[str, bytes]:
    """The page's own files; its style begins with that of all pages of the project."""
    found = {entry.name: entry.read_bytes() for entry in files(__package__).joinpath("page").iterdir()}
    shared = files("nafnet.page").joinpath("templates", "page.css").read_bytes()
    return {**found, "style.css": shared + found["style.css"]}


def refuse_folder(folder: Path, spec: ModelSpec, *, overwrite: bool) -> None:
    """Raise UsageError where `folder` is there and is not the page of these weights: it is not written over in silence.

    Args:
        overwrite: a page of other weights may be; nothing else may.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is a file of this name; choose another folder with -o, or remove it")
    found = _read_card(folder)
    if found is None and any(folder.iterdir()):
        raise UsageError(f"{folder}: there is a folder of another origin; choose another with -o, or remove it")
    if found and found["models"][0]["spec"].get("weights_sha256") != spec.weights_sha256 and not overwrite:
        raise UsageError(
            f"{folder}: there is a page of other weights; choose another folder with -o, or --overwrite it"
        )


def is_current(folder: Path, spec: ModelSpec) -> bool:
    """Whether the page of this very export stands there, whole, and as this version of the project makes it."""
    found = _read_card(folder)
    if found is None:
        return False
    stated = found["models"][0]["spec"]
    wanted = json.loads(spec.to_json())
    names = ("weights_sha256", "precision", "multiple", "fixed_shape", "local_pooling", "exported_by")
    if any(stated.get(name) != wanted[name] for name in names):
        return False
    own = [(folder / name, content) for name, content in assets().items()]
    models = [(folder / model["file"], model["bytes"]) for model in found["models"]]
    return (
        all(path.is_file() and path.stat().st_size == size for path, size in models)
        and all(path.is_file() and path.read_bytes() == content for path, content in own)
        and all((folder / LIBRARY_FOLDER / name).is_file() for name in library.FILES)
    )


def _read_card(folder: Path) -> dict[str, Any] | None:
    """What `model.json` of a page of ours says; None where there is none."""
    path = folder / CARD
    try:
        if path.stat().st_size > _LARGEST_CARD:
            return None
        found = json.loads(path.read_bytes())
        return found if found["page"] == "nafnet-toolchain" and found["models"][0]["spec"] else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _card(models: Sequence[Model], *, has_card: bool) -> dict[str, Any]:
    """What the page knows of its models."""
    spec = models[0].spec
    tile = kept_tile(spec)  # in steps of 1/255, so bytes hold it exactly
    pixels = np.rint(tile[0] * 255).astype(np.uint8)
    return {
        "page": "nafnet-toolchain",
        "format_version": FORMAT_VERSION,
        "library": {"name": library.NAME, "version": library.VERSION},
        "model_card": MODEL_CARD if has_card else None,
        "known": {
            "side": tile.shape[-1],
            "pixels": base64.b64encode(pixels.tobytes()).decode("ascii"),
            "places": places(tile.shape[-1] ** 2).tolist(),
        },
        "models": [
            {
                "file": model.name,
                "bytes": len(model.content),
                "sha256": hashlib.sha256(model.content).hexdigest(),
                "standing": model.spec.standing,
                "architecture": str(model.spec.architecture),
                "gate": dataclasses.asdict(GATES[model.spec.precision]),
                "spec": json.loads(model.spec.to_json()),
            }
            for model in models
        ],
    }


def _headers() -> str:
    """What several static hosts read from a file of this name, as `server` sends it: without it, no threads."""
    return "/*\n" + "".join(f"  {name}: {value}\n" for name, value in HEADERS.items())

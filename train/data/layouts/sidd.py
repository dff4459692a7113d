"""SIDD, the Smartphone Image Denoising Dataset: as scenes of PNGs, as blocks for validation, and as NumPy arrays.

Source: Abdelhamed et al., "A High-Quality Denoising Dataset for Smartphone Cameras", CVPR 2018.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import DataError, MissingExtraError
from nafnet.train.data.layouts.base import Found, Layout, pair_by_name
from nafnet.train.data.pairs import ArrayPairs, FilePairs
from nafnet.train.data.scenes import BY_SIDD_SCENE

_SCENE = re.compile(r"\d{4}_\d{3}_[A-Z0-9]{2}_\d{5}_\d{5}_\d{4}_[LNH]")
_SIDE = re.compile(r"(?:\d+_)?(NOISY|GT)_SRGB_(\d+)\.png", re.IGNORECASE)
_VALIDATION = {"inputs": "ValidationNoisyBlocksSrgb", "targets": "ValidationGtBlocksSrgb"}


def _find_scenes(root: Path) -> Found | None:
    homes = [root, *(root / place for place in ("Data", "mnt/d/SIDD_Medium_Srgb/Data"))]
    homes += [place for pattern in ("*/Data", "*/mnt/d/*/Data") for place in sorted(root.glob(pattern))]
    for home in homes:
        scenes = [scene for scene in sorted(home.glob("*_*_*")) if _SCENE.fullmatch(scene.name)]
        if scenes:
            pairs, faults = _scene_pairs(scenes)
            validation = find_blocks(root)
            parts = {"all": pairs, **(validation.parts if validation else {})}
            return Found(parts=parts, faults=faults, scenes=BY_SIDD_SCENE, makers_parts=True)
    return None


def _scene_pairs(scenes: list[Path]) -> tuple[FilePairs, list[str]]:
    """Named by the folder, which says the scene, and the picture's number."""
    sides: dict[str, dict[str, Path]] = {"NOISY": {}, "GT": {}}
    for scene in scenes:
        for path in sorted(scene.iterdir()):
            if found := _SIDE.fullmatch(path.name):
                sides[found[1].upper()][f"{scene.name}/{found[2]}"] = path
    return pair_by_name(sides["NOISY"], sides["GT"])


def find_blocks(root: Path) -> Found | None:
    """SIDD's validation blocks, two MATLAB files with uint8[40,32,256,256,3] each."""
    paths = {side: root / f"{name}.mat" for side, name in _VALIDATION.items()}
    if not all(path.is_file() for path in paths.values()):
        return None
    arrays = {side: _blocks(path, _VALIDATION[side]) for side, path in paths.items()}
    if arrays["inputs"].shape != arrays["targets"].shape:
        raise DataError(f"{root}: {arrays['inputs'].shape} noisy blocks and {arrays['targets'].shape} clean ones")
    count = len(arrays["inputs"])
    names = tuple(f"{index // 32:02}/{index % 32:02}" for index in range(count))
    return Found(parts={"validation": ArrayPairs(names, arrays["inputs"], arrays["targets"], tuple(range(count)))})


def _blocks(path: Path, name: str) -> NDArray[np.uint8]:
    """uint8[N,H,W,3]."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingExtraError("scipy, which reads SIDD's validation blocks,", "train") from error
    try:
        blocks: Any = loadmat(path)[name]
    except Exception as error:  # scipy raises many kinds for a damaged file
        raise DataError(f"{path}: not a MATLAB file with {name} ({error})") from error
    if blocks.ndim != 5 or blocks.shape[-1] != 3 or blocks.dtype != np.uint8:
        raise DataError(f"{path}: {blocks.dtype}{list(blocks.shape)}; expected uint8[40,32,256,256,3]")
    return np.ascontiguousarray(blocks.reshape(-1, *blocks.shape[2:]))


def _find_arrays(root: Path) -> Found | None:
    """The largest of the sizes that are there."""
    for size in ("_256", "_128", ""):
        if found := find_arrays(root, size):
            return found
    return None


def find_array_of(path: Path) -> Found | None:
    """The arrays of the size that `path` is of, the noisy ones or the clean; None where it is neither."""
    name = re.fullmatch(r"(?:noisy|gt)_images(_\d+|)\.npy", path.name)
    return find_arrays(path.parent, name[1]) if name else None


def find_arrays(root: Path, size: str) -> Found | None:
    """Two arrays of [N,H,W,3], uint8 or float in [0, 1]."""
    for home in (root, root / "SIDD"):
        noisy, clean = (home / f"{side}_images{size}.npy" for side in ("noisy", "gt"))
        if noisy.is_file() and clean.is_file():
            inputs, targets = _array(noisy), _array(clean)
            if inputs.shape != targets.shape:
                raise DataError(f"{noisy}: {list(inputs.shape)}, but {clean.name} is {list(targets.shape)}")
            names = tuple(f"{index:04}" for index in range(len(inputs)))
            return Found(
                parts={"all": ArrayPairs(names, inputs, targets, tuple(range(len(inputs))))},
                notes=["these arrays do not say of which of SIDD's 10 scenes a pair is: parts may share scenes"],
            )
    return None


def _array(path: Path) -> NDArray[np.uint8]:
    """uint8[N,H,W,3], memory-mapped where the file holds that."""
    try:
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a NumPy array ({error})") from error
    if array.ndim != 4 or array.shape[-1] != 3 or not len(array):
        raise DataError(f"{path}: {array.dtype}{list(array.shape)}; expected [N,H,W,3]")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise DataError(f"{path}: {array.dtype}; expected uint8, or floats in [0, 1]")
    low, high = float(array.min()), float(array.max())  # NaN if any is
    if not (low >= 0 and high <= 1):
        raise DataError(f"{path}: values from {low:g} to {high:g}; expected floats in [0, 1], or uint8")
    return np.rint(array * 255).astype(np.uint8)


SIDD_SCENES = Layout(
    name="sidd",
    expected="Data/0001_001_S6_00100_00060_3200_L/{NOISY,GT}_SRGB_010.PNG, also under mnt/d/SIDD_Medium_Srgb",
    find=_find_scenes,
)
SIDD_BLOCKS = Layout(name="sidd-validation", expected="Validation{Noisy,Gt}BlocksSrgb.mat", find=find_blocks)
SIDD_ARRAYS = Layout(
    name="sidd-arrays", expected="SIDD/{gt,noisy}_images{_256,_128,}.npy, uint8[160,256,256,3]", find=_find_arrays
)

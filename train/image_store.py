"""Generated images on disk, made once for a run by several processes, read as a memory map."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from nafnet.train.dead_leaves import DeadLeaves
from nafnet.train.recipe import DataConfig
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from nafnet.files import whole_file


@functools.lru_cache(maxsize=1)
def _generator(config: DataConfig) -> DeadLeaves:
    """One generator for each worker process, since its textures take a second to make."""
    return DeadLeaves(config.generator, config.images_seed)


def _generate(config: DataConfig, index: int) -> NDArray[np.uint8]:
    return (_generator(config).image(index) * 255 + 0.5).astype(np.uint8)


def open_images(path: Path, config: DataConfig, progress: Progress) -> NDArray[np.uint8]:
    """The run's images, uint8[images + held_out, S, S, 3], held-out ones last; made if `path` is not there."""
    if not path.exists():
        _write_images(path, config, progress)
    images: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return images


def _write_images(path: Path, config: DataConfig, progress: Progress) -> None:
    count, side = config.images + config.held_out, config.generator.size
    with whole_file(path) as temporary, ProcessPoolExecutor(os.cpu_count()) as pool:
        store = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(count, side, side, 3))
        pictures = pool.map(functools.partial(_generate, config), range(count), chunksize=4)
        for index, picture in enumerate(progress.track(pictures, total=count, description="generating images")):
            store[index] = picture
        store.flush()


def training_patches(images: NDArray[np.uint8], config: DataConfig, batch: int, rng: np.random.Generator) -> Tensor:
    """A batch of random patches, flipped, turned and with channels in random order: float32[batch,3,P,P] in [0, 1]."""
    patches = np.empty((batch, config.patch, config.patch, 3), np.uint8)
    for row in range(batch):
        top, left = rng.integers(0, config.generator.size - config.patch + 1, 2)
        picture = images[rng.integers(config.images)]
        patch = picture[top : top + config.patch, left : left + config.patch]
        patches[row] = np.rot90(patch, int(rng.integers(4)))[:, :: rng.choice([-1, 1]), rng.permutation(3)]
    return to_tensor(patches)


def held_out_images(images: NDArray[np.uint8], config: DataConfig, side: int = 256) -> Tensor:
    """The middle of each held-out image: float32[held_out,3,side,side] in [0, 1]."""
    start = (config.generator.size - side) // 2
    return to_tensor(images[config.images :, start : start + side, start : start + side])


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8[N,H,W,3] -> float32[N,3,H,W] in [0, 1], channels-last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255

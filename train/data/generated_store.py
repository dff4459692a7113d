"""Generated images on disk, made once for a run by several processes, read as a memory map."""

from __future__ import annotations

import functools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from nafnet.files import whole_file
from nafnet.system import SYSTEM
from nafnet.train.data.disk import writing
from nafnet.train.processes.signals import leave_interrupts_to_parent, postponed
from nafnet.train.recipes.data_tables import GeneratedConfig
from nafnet.train.synthetic.dead_leaves import DeadLeaves, DeadLeavesConfig


@functools.lru_cache(maxsize=1)
def _generator(config: DeadLeavesConfig, seed: int) -> DeadLeaves:
    """One generator for each worker process, since its textures take a second to make."""
    return DeadLeaves(config, seed)


def _generate(config: DeadLeavesConfig, seed: int, index: int) -> NDArray[np.uint8]:
    return (_generator(config, seed).image(index) * 255 + 0.5).astype(np.uint8)


def open_images(
    path: Path, config: GeneratedConfig, drawing: DeadLeavesConfig, progress: Progress
) -> NDArray[np.uint8]:
    """The run's images, uint8[images + held_out, S, S, 3], held-out ones last; made if `path` is not there."""
    if not path.exists():
        _write_images(path, config, drawing, progress)
    images: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return images


def _write_images(path: Path, config: GeneratedConfig, drawing: DeadLeavesConfig, progress: Progress) -> None:
    count, side = config.images + config.held_out, drawing.size
    workers = min(SYSTEM.cores(), SYSTEM.most_waited_for)
    pool = ProcessPoolExecutor(workers, initializer=leave_interrupts_to_parent)
    try:
        with writing(path), whole_file(path) as temporary:
            store = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(count, side, side, 3))
            try:
                with postponed():
                    pictures = pool.map(functools.partial(_generate, drawing, config.seed), range(count))
                for index, picture in enumerate(progress.track(pictures, total=count, description="generating images")):
                    store[index] = picture
                store.flush()
            finally:
                del store  # a file that is mapped can be neither renamed nor removed on Windows
    except BaseException:
        for worker in multiprocessing.active_children():
            worker.terminate()  # an interrupted run waits for no picture
        raise
    finally:
        pool.shutdown(cancel_futures=True)

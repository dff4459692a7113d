"""`Restorer`: images in, restored images out, of any size, with one model on one backend."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from nafnet.closing import Closing
from nafnet.errors import BackendError, MissingExtraError, ModelError, UsageError
from nafnet.runtime.backends import choices_for, make_backend
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.engine.array_image import ArrayImage
from nafnet.runtime.engine.batches import SmallerTileError, TileRunner
from nafnet.runtime.engine.contest import Refused, Wanted, in_order
from nafnet.runtime.engine.events import Event, I
from nafnet.runtime.engine.fallback import Fallback
from nafnet.runtime.engine.hands import Hands
from nafnet.runtime.engine.image_stream import ImageStream
from nafnet.runtime.engine.load_check import try_out
from nafnet.runtime.engine.look import WHOLE, Look
from nafnet.runtime.engine.memory import fits_whole
from nafnet.runtime.engine.tiles import Tile
from nafnet.steps import OnStep, unwatched
from nafnet.tiling import TilePlan, check_tile, plan_tiles

Pixels = TypeVar("Pixels", bound=NDArray[np.generic])
C = TypeVar("C", bound=Closing)


class Restorer(Closing):
    """Restores images of any size with one model on one backend.

    Make one with `load`; use it as a context manager, or call `close`. Threads may share one: they take turns.

    Args:
        backend: runs the model.
        tile: largest side of a tile, in pixels.
        overlap: fewest pixels that neighbouring tiles share.
        batch: tiles to run at once.
        whole: restore without tiles what fits into memory.
        say: told, in a line, what had to be changed on the way.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        tile: int,
        overlap: int,
        batch: int,
        whole: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        check_tile(tile, overlap, backend.model.spec.multiple)
        _check_count("batch", batch)
        if backend.model.spec.channels not in (1, 3):
            raise ModelError(
                f"{backend.model.path}: takes {backend.model.spec.channels} channels; photographs have 1 or 3"
            )
        self.backend, self.tile, self.overlap, self.whole = backend, tile, overlap, whole
        self.spec = backend.model.spec
        self.say = say
        for part in backend.parts:
            part.listen(functools.partial(self._say_of, part))
        self.reason, self.figures = "as given", ""
        """Why this backend, in a few words; where tiles were measured to choose it, what each took."""
        self._hands = Hands((backend.threads or os.cpu_count() or 1) if backend.beside_cpu else 1)
        self._runner: TileRunner[Tile[Any]] = TileRunner(
            backend, batch, Fallback(backend), self._hands, lambda line: self.say(line)
        )
        self._lock = threading.RLock()
        self._companions: dict[type[Closing], Closing] = {}

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        backend: str = "auto",
        device: str | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        batch: int | None = None,
        threads: int | None = None,
        whole: bool = False,
        say: Callable[[str], None] = lambda _: None,
        on_step: OnStep = unwatched,
    ) -> Self:
        """Load a model.

        Args:
            model: an ONNX file, a plan built by nafnet-export, or a checkpoint (.safetensors, .pth), which is exported
                once and cached; None is the bundled denoiser.
            backend: a name of `nafnet.runtime.backends.REGISTRY`, or auto for the fastest that can run here.
            device: cpu, gpu, cuda, cuda:1, or several, cuda:0,cuda:1; None is the backend's own choice.
            tile: largest side of a tile in pixels; the model's own choice by default.
            overlap: fewest pixels that neighbouring tiles share; the model's own choice by default.
            batch: tiles to run at once; the backend's own choice by default.
            threads: CPU threads; all cores by default.
            whole: restore without tiles what fits into memory.
            say: told, in a line, what had to be changed on the way, and that a checkpoint is exported.
            on_step: told how far the export of a checkpoint is.

        Raises:
            NafnetError: the model or the backend cannot be used; one line says why.
        """
        _check_count("batch", batch)
        _check_count("threads", threads)
        choices, refused = choices_for(backend, model, device), Refused()
        wanted = Wanted(model, tile, overlap, whole, threads, say, on_step)
        for choice in in_order(choices, wanted, refused):
            opened, side, shared = wanted.opened(choice)
            try:
                with contextlib.ExitStack() as stack:  # what is refused, by whomever, is closed before another is tried
                    made = stack.enter_context(make_backend(choice, opened, threads))
                    count = batch or made.default_batch
                    restorer = cls(made, tile=side, overlap=shared, batch=count, whole=whole, say=say)
                    try_out(made, count, side)  # what is not fit to run fails here, not on every file
                    stack.pop_all()
            except (BackendError, ModelError, MissingExtraError) as error:
                if len(choices) == 1:
                    raise
                refused[str(error)] = BackendError if isinstance(error, MissingExtraError) else type(error)
                continue
            restorer.reason, restorer.figures = "; ".join([choice.reason, *refused]), choice.figures
            for line in refused:
                say(f"{line}; going on with {choice.name}")
            return restorer
        kinds = set(refused.values())
        raise (kinds.pop() if len(kinds) == 1 else BackendError)("; ".join(refused))

    def _say_of(self, part: Backend, line: str) -> None:
        self.say(f"{part.description}: {line}")

    @property
    def batch(self) -> int:
        """Tiles run at once."""
        return self._runner.batch

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other threads out; whoever uses `restore_stream` does so inside."""
        with self._lock:
            yield

    def set_tiling(self, *, tile: int, overlap: int, batch: int) -> None:
        """Change how images are cut from now on."""
        check_tile(tile, overlap, self.spec.multiple)
        _check_count("batch", batch)
        with self._lock:
            self.tile, self.overlap, self._runner.batch = tile, overlap, batch

    def restore(self, pixels: Pixels, look: Look = WHOLE) -> Pixels:
        """Restore an image: [H,W] or [H,W,C], C 1 (grey) or 3 (RGB); the result has its shape and dtype.

        Args:
            pixels: uint8 or uint16 over its full range, or float32 with white at 1; encoded as sRGB, which is what
                models are trained on.
            look: how much of the model's work is taken.

        Returns:
            The restored image; integers are clipped and rounded, floats are neither.

        Raises:
            UsageError: another shape, dtype or range, or an empty image.
            BackendError: the backend failed, or the result is not finite.
        """
        (restored,) = self.restore_looks(pixels, (look,))
        return restored

    def restore_looks(self, pixels: Pixels, looks: Sequence[Look]) -> list[Pixels]:
        """Restore an image in several looks, to choose from, with one pass through the model.

        Args:
            pixels, looks: as `restore` takes them.

        Returns:
            An image for each look, the same as `restore` gives with it.
        """
        if not looks:
            return []
        image = ArrayImage(pixels, looks)
        with self._lock:
            while (restored := image.collect(self.restore_stream(image.events()))) is None:
                pass  # the device's memory did not suffice: the tiles are smaller now
        return [cast("Pixels", made.reshape(pixels.shape)) for made in restored]

    def restore_many(self, images: Iterable[Pixels]) -> Iterator[Pixels]:
        """Restore images one after the other, as they are asked for; each as `restore` does."""
        for image in images:
            yield self.restore(image)

    def plan(self, height: int, width: int) -> TilePlan:
        """The tiles of an image."""
        spec = self.spec
        if self.whole and fits_whole(spec, height, width, self.batch):
            side = -(-max(height, width) // spec.multiple) * spec.multiple
            return plan_tiles(height, width, tile=side, overlap=0, multiple=spec.multiple)
        return plan_tiles(
            height, width, tile=self.tile, overlap=self.overlap, multiple=spec.multiple, fixed=self.backend.beside_cpu
        )

    def restore_stream(self, events: Iterator[Event[I]]) -> Iterator[Event[I]]:
        """Restore images that come as events, in bands: what `restore` and the folder stand on.

        Only images that are restored whole are closed. Where the tile had to be made smaller for want of memory, the
        images that were under way are to be fed once more: their state is `State.AGAIN`.
        """
        return ImageStream[I](self.spec, self._runner, self.plan, self._hands, self._shrink_tile).run(events)

    def _shrink_tile(self, error: SmallerTileError) -> None:
        """Halve the tile, for want of memory.

        Raises:
            BackendError: it is the smallest already.
        """
        multiple = self.spec.multiple
        smaller = max(self.tile // 2 // multiple, 1) * multiple
        if self.whole:
            self.whole, smaller = False, self.tile
        elif self.spec.fixed_shape or smaller == self.tile:
            raise BackendError(f"{error}; not even the smallest tile fits") from error
        self.tile, self.overlap = smaller, min(self.overlap, smaller // 4)
        self.say(f"{self.backend.description}: out of memory; going on with tiles of {smaller}")

    def companion(self, kind: type[C]) -> C:
        """What somebody wants to keep between images: one of each kind, made when first asked for, closed with this."""
        with self._lock:
            return cast("C", self._companions.setdefault(kind, kind()))

    def close(self) -> None:
        """Free the backend's memory."""
        with self._lock, contextlib.ExitStack() as stack:  # each is closed, whatever another raises
            stack.callback(self.backend.close)
            while self._companions:
                stack.callback(self._companions.popitem()[1].close)
            stack.callback(self._hands.close)


def _check_count(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise UsageError(f"{name} {value}: expected at least 1")

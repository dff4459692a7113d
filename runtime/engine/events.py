"""What flows through the engine: images as events, and the state of each.

Each image is `Opened`, then come `Band`s of its rows from the top, then `Closed`; of one that failed on the way the
rest is missing, and its `Item` says so. It is whole with its last row: what fails in a stage behind that row does not
count. Every stage is a generator over such events.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

from nafnet.errors import HostMemoryError
from nafnet.images.colour.space import Space
from nafnet.images.pixels import PixelType, Rows
from nafnet.runtime.engine.look import WHOLE, Look


class State(enum.Enum):
    """Where an image stands."""

    UNDER_WAY = "under way"
    AGAIN = "to be fed once more from its first row"
    FAILED = "failed"
    DONE = "done"


class Item:
    """One image on its way through the stages, whatever it came from; a subclass knows that.

    Threads of several stages change its state, so each change is atomic: of two failures the first counts, and what
    has failed is never done.
    """

    def __init__(self) -> None:
        self.tiles = 0
        """Restored of it so far."""
        self.recomputed = 0
        """Of these, whose result could not be true, and that were computed again in fp32."""
        self.infer_seconds = 0.0
        """That the backend took for it."""
        self._state = State.UNDER_WAY
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        """Where it stands now."""
        return self._state

    @property
    def under_way(self) -> bool:
        """Whether its rows are still worth handling."""
        return self._state is State.UNDER_WAY

    def begin(self) -> None:
        """Its first row is about to be fed, perhaps not for the first time."""
        if self._change(State.UNDER_WAY, State.UNDER_WAY, State.AGAIN):
            self.tiles = self.recomputed = 0
            self.infer_seconds = 0.0

    def ask_again(self) -> None:
        """What is under way of it is void: it has to be fed once more."""
        self._change(State.AGAIN, State.UNDER_WAY)

    def finish(self) -> bool:
        """It is done; says whether it was under way until now."""
        return self._change(State.DONE, State.UNDER_WAY)

    def fail(self, error: Exception) -> bool:
        """It failed; says whether this is the first error, the one that counts.

        What is to become of the error is the subclass's to say. It is not kept here: its traceback holds the rows.
        """
        del error
        return self._change(State.FAILED, State.UNDER_WAY, State.AGAIN)

    def _change(self, new: State, *possible: State) -> bool:
        with self._lock:
            if self._state not in possible:
                return False
            self._state = new
        return True

    def guarded(self, tell: Callable[[Exception], None] = lambda _: None) -> Guard:
        """Make any error inside this image's own; `tell` hears of it first."""
        return Guard(self, tell)


class Guard:
    """The boundary between one image and the others; see `Item.guarded`.

    No generator: in Python 3.13 the frame of one holds the error that it swallowed, in a circle, and with it the image.
    """

    def __init__(self, item: Item, tell: Callable[[Exception], None]) -> None:
        self._item, self._tell = item, tell

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, Exception):
            return False
        told = HostMemoryError.of(error) if isinstance(error, MemoryError) else error
        self._tell(told)
        self._item.fail(told)
        return True


I = TypeVar("I", bound=Item)  # noqa: E741, the item of a stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """The size and the pixels of an image, as they come and as they are to go."""

    height: int
    """Of one frame, where there are several."""
    width: int
    channels: int
    """Colour channels: 1 (grey) or 3 (RGB)."""
    alpha: bool
    """Whether each pixel has one value more, which is passed through."""
    given: PixelType
    wanted: PixelType
    space: Space | None = None
    """Of the values that come; None gives them to the network as they are."""
    wanted_space: Space | None = None
    """Of the values that go."""
    frames: int = 1
    """Pictures of that size whose rows follow one another; none sees a row of the next."""
    looks: tuple[Look, ...] = (WHOLE,)
    """How much of the model's work is taken: one result for each, of one pass through the model."""


@dataclasses.dataclass(frozen=True)
class Opened(Generic[I]):
    """An image begins."""

    item: I
    layout: Layout


@dataclasses.dataclass(frozen=True)
class Band(Generic[I]):
    """The next rows of an image."""

    item: I
    rows: Rows
    """As they came; of restored rows, those of the first look."""
    originals: Sequence[Rows] = ()
    """Of restored rows: the rows they were made of, in parts."""
    others: Sequence[Rows] = ()
    """Of restored rows: those of the second look and of what follows it."""

    @property
    def results(self) -> tuple[Rows, ...]:
        """Restored rows, of each look."""
        return self.rows, *self.others


@dataclasses.dataclass(frozen=True)
class Closed(Generic[I]):
    """No more of this item, whether whole, failed or never opened."""

    item: I


Event: TypeAlias = Opened[I] | Band[I] | Closed[I]

"""The state of an image, which threads of several stages change."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from nafnet.runtime.engine.events import Item, State

ERROR = ValueError("broken")
CHANGES: dict[str, Callable[[Item], object]] = {
    "begin": Item.begin,
    "ask again": Item.ask_again,
    "finish": Item.finish,
    "fail": lambda item: item.fail(ERROR),
}


def item_in(state: State) -> Item:
    item = Item()
    changes = {State.UNDER_WAY: "begin", State.AGAIN: "ask again", State.FAILED: "fail", State.DONE: "finish"}
    CHANGES[changes[state]](item)
    assert item.state is state
    return item


@pytest.mark.parametrize(
    ("state", "change", "then"),
    [
        (State.UNDER_WAY, "begin", State.UNDER_WAY),
        (State.UNDER_WAY, "ask again", State.AGAIN),
        (State.UNDER_WAY, "finish", State.DONE),
        (State.UNDER_WAY, "fail", State.FAILED),
        (State.AGAIN, "begin", State.UNDER_WAY),
        (State.AGAIN, "ask again", State.AGAIN),
        (State.AGAIN, "finish", State.AGAIN),  # its rows are void
        (State.AGAIN, "fail", State.FAILED),
        *((State.FAILED, change, State.FAILED) for change in CHANGES),
        *((State.DONE, change, State.DONE) for change in CHANGES),
    ],
)
def test_every_change_from_every_state(state: State, change: str, then: State) -> None:
    item = item_in(state)
    CHANGES[change](item)
    assert item.state is then


def test_what_begins_anew_counts_anew() -> None:
    item = item_in(State.AGAIN)
    item.tiles, item.recomputed, item.infer_seconds = 5, 2, 1.5
    item.begin()
    assert (item.tiles, item.recomputed, item.infer_seconds) == (0, 0, 0)
    failed = item_in(State.FAILED)
    failed.tiles = 5
    failed.begin()
    assert failed.tiles == 5


def test_of_many_failures_one_is_the_first() -> None:
    """Sixteen threads fail the same image at once, a thousand times; one of them hears that it was the first."""
    threads = 16
    items = [Item() for _ in range(1000)]
    barrier = threading.Barrier(threads)
    firsts: list[list[bool]] = [[] for _ in range(threads)]

    def fail_all(number: int) -> None:
        barrier.wait()
        firsts[number] = [item.fail(ERROR) for item in items]

    running = [threading.Thread(target=fail_all, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert [sum(answers) for answers in zip(*firsts, strict=True)] == [1] * len(items)


def test_errors_inside_are_the_images_own_and_told_of() -> None:
    item, told = Item(), []
    with item.guarded(told.append):
        raise ERROR
    assert item.state is State.FAILED
    assert told == [ERROR]
    with pytest.raises(KeyboardInterrupt), item.guarded():
        raise KeyboardInterrupt

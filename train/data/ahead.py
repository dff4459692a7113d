"""Work done ahead by threads, its results in order, and no more of them in memory than are soon used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_order(work: Callable[[Given], Made], given: Iterable[Given], threads: int) -> Iterator[Made]:
    """`work` of each, as `map` gives it; at most two for each thread are made ahead."""
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Made]] = deque()
        for each in given:
            ahead.append(pool.submit(work, each))
            if len(ahead) > 2 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

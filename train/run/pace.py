"""How long a run will take, from the steps and evaluations it has made."""

from __future__ import annotations

from collections import deque
from statistics import median

from nafnet.train.recipes.recipe import Recipe, images_until
from nafnet.words import counted, lasting

_FIRST = 2  # steps that are slower than the rest: compilation, the first memory
_ENOUGH = ((10.0, 5), (40.0, 2))  # (seconds, steps) of training after which its length can be told
_OVER = 10.0  # seconds; what ends as soon is not worth a line
_MOST, _RARE = 0.3, 0.1  # shares of the time: what evaluations take before a remedy is told, and with it
_FORWARD = 0.5  # of a training step: a third is the forward pass, and the metrics are about half of that
_LONG = 60.0  # seconds; of what is left of a shorter run nobody need know more


class Pace:
    """The time of a run's steps and evaluations; seconds throughout.

    Args:
        recipe: says the size of each step's batch.
        steps: of the run.
        every: steps from one evaluation to the next.
        evaluated: pixels of one evaluation in each process, from which its time is estimated before one was timed.
    """

    def __init__(self, recipe: Recipe, steps: int, every: int, evaluated: int = 0) -> None:
        self.steps, self.every, self._evaluated = steps, every, evaluated
        self._pixels = [(start, 0, patch * patch * batch) for start, patch, batch in recipe.starts(steps)]
        self._recent: deque[float] = deque(maxlen=200)
        """Of the newest steps, for each pixel of the batch."""
        self._made = 0
        self._trained = 0.0
        self._evaluation: float | None = None
        self._told = self._warned = False

    def step(self, step: int, seconds: float) -> None:
        """Count the time of number `step`, from 1."""
        self._made += 1
        self._trained += seconds
        if self._made <= _FIRST + 1:
            self._recent.clear()
        self._recent.append(seconds / self._between(step - 1, step))

    def evaluated(self, seconds: float) -> None:
        """Count the time of one evaluation."""
        self._evaluation = seconds

    def left(self, step: int) -> float:
        """What the steps after `step` will take, and the evaluations; 0 while that cannot be told."""
        if step >= self.steps or self._made < _FIRST:
            return 0.0
        training = median(self._recent) * self._between(step, self.steps)
        evaluations = -(-self.steps // self.every) - step // self.every
        return training + evaluations * self._one_evaluation()

    def announcement(self, step: int) -> str | None:
        """How long the run will take, once: as soon as that can be told, unless it is over by then."""
        if self._told or not any(self._trained >= seconds and self._made >= made for seconds, made in _ENOUGH):
            return None
        self._told = True
        if self.left(step) < _OVER:
            return None
        one = median(self._recent) * self._between(step - 1, step)
        more = f", and evaluations of about {lasting(guess)}" if (guess := self._one_evaluation()) >= 1 else ""
        return f"about {lasting(self.left(step))} to go: {counted(self.steps - step, 'step')} of {one:.2g} s{more}"

    def told_left(self, step: int) -> str:
        """`, about 5 min left`, for the end of a line; empty where little is left."""
        left = self.left(step)
        return f"; about {lasting(left)} left" if left >= _LONG else ""

    def too_many_evaluations(self, step: int) -> str | None:
        """A remedy, once, where evaluations take a large share of the time and the run is not over soon."""
        if self._warned or not self._evaluation or self.left(step) < _LONG:
            return None
        one = median(self._recent) * self._between(step - 1, step)
        share = self._evaluation / (self._evaluation + self.every * one)
        if share < _MOST:
            return None
        self._warned = True
        rarer = min(_round(self._evaluation * (1 - _RARE) / _RARE / one), self.steps)
        after = f"{self.every} steps" if self.every > 1 else "each step"
        return (
            f"evaluations take {share:.0%} of the time: {lasting(self._evaluation)} after {after} of {one:.2g} s; "
            f"for a new run, --set evaluation.every={rarer} makes them rarer"
        )

    def _one_evaluation(self) -> float:
        """What one takes, as timed; else by the time of a pixel in training, of which a forward pass is a part."""
        if self._evaluation is not None or not self._recent:
            return self._evaluation or 0.0
        return _FORWARD * self._evaluated * median(self._recent)

    def _between(self, first: int, last: int) -> int:
        """Pixels of the batches of the steps after `first` up to `last`."""
        return images_until(self._pixels, last) - images_until(self._pixels, first)


def _round(number: float) -> int:
    """Up to two digits that one would choose: 37 is 40, 412 is 500."""
    scale = 10 ** max(len(str(int(number))) - 1, 0)
    return int(-(-number // scale) * scale)

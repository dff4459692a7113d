"""Which pairs are for training, which for validation and which for the final test: drawn by a seed, and recorded.

Pairs of one scene, those whose names begin alike up to a slash, stay together but where a test part is halved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from nafnet.errors import DataError
from nafnet.train.data.pairs import Pairs
from nafnet.train.recipes.data_tables import SplitConfig


def divide(parts: Mapping[str, Pairs], config: SplitConfig) -> dict[str, Pairs]:
    """Train, validation and test of what a layout found.

    A part "all" is divided by the shares; it is for training alone where there is a validation part. A test part
    without a validation part is halved by the seed, the larger half being for validation.

    Args:
        parts: see `nafnet.train.data.layouts.base.Found`.

    Raises:
        DataError: nothing is left to train on.
    """
    made = dict(parts)
    everything = made.pop("all", None)
    if everything is not None and "validation" in made:
        made["train"] = everything
    elif everything is not None:
        made |= _by_shares(everything, config)
    elif "test" in made and "validation" not in made:
        made |= _halved(made["test"], config.seed)
    if "train" not in made or not made["train"].names:
        raise DataError(f"nothing to train on: the data set has {', '.join(parts)} alone, or too few pairs to divide")
    return {name: made[name] for name in ("train", "validation", "test") if name in made and made[name].names}


def _by_shares(pairs: Pairs, config: SplitConfig) -> dict[str, Pairs]:
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(pairs.names):
        scene, slash, _ = name.rpartition("/")
        groups.setdefault(scene if slash else name, []).append(index)
    order = np.random.default_rng(config.seed).permutation(len(groups))
    ordered = [list(groups.values())[position] for position in order]
    validation, test = (_share(share, len(ordered)) for share in (config.validation_share, config.test_share))
    chosen = {
        "validation": ordered[:validation],
        "test": ordered[validation : validation + test],
        "train": ordered[validation + test :],
    }
    return {part: pairs.subset(sorted(index for group in taken for index in group)) for part, taken in chosen.items()}


def _share(share: float, groups: int) -> int:
    """How many of the groups; one at least where there is one for each part."""
    return max(round(share * groups), 1) if share and groups > 2 else 0


def _halved(pairs: Pairs, seed: int) -> dict[str, Pairs]:
    """Frames are parted one by one, as in the study: both halves are of the test's sequences."""
    order = np.random.default_rng(seed).permutation(len(pairs.names))
    half = math.ceil(len(order) / 2)
    return {
        "validation": pairs.subset(sorted(order[:half].tolist())),
        "test": pairs.subset(sorted(order[half:].tolist())),
    }


def held_out(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Which of `count` images are for training, and which for validation: one of each at least, drawn by a seed.

    Raises:
        DataError: there are fewer than two.
    """
    if count < 2:
        raise DataError(f"{count} photograph cannot be divided into training and validation; give two at least")
    few = min(max(round(share * count), 1), count - 1)
    order = np.random.default_rng(seed).permutation(count)
    return sorted(order[few:].tolist()), sorted(order[:few].tolist())

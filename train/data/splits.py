"""Which pairs are for training, which for validation and which for the final test: drawn by a seed, and recorded.

Pairs of one scene stay together, see `nafnet.train.data.scenes`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from nafnet.errors import DataError
from nafnet.train.data.layouts.base import Found
from nafnet.train.data.pairs import Pairs
from nafnet.train.data.scenes import ALONE, SceneRule, scene_rule, told
from nafnet.train.recipes.data_tables import SplitConfig
from nafnet.words import counted


@dataclasses.dataclass(frozen=True, kw_only=True)
class Division:
    """A data set in parts."""

    parts: dict[str, Pairs]
    """By name: train, and perhaps validation and test; none is empty."""
    rule: SceneRule
    """What pairs were grouped by."""
    notes: tuple[str, ...] = ()
    """Lines for the user."""

    def scenes(self, part: str) -> list[str]:
        """The scenes of a part, sorted; without the pairs that are by themselves."""
        found = map(self.rule.scene, self.parts[part].names)
        return sorted({scene for scene in found if scene is not None})

    @property
    def record(self) -> dict[str, object]:
        """For run.json: what was grouped by what, and the scenes of each part."""
        scenes = {part: self.scenes(part) for part in self.parts}
        return {"by": self.rule.by, "guessed": self.rule.guessed, "scenes": scenes}


def divide(found: Found, config: SplitConfig) -> Division:
    """Train, validation and test of what a layout found.

    A part "all" is divided by the shares; it is for training alone where there is a validation part. A test part
    without a validation part is halved by the seed, the larger half being for validation.

    Args:
        found: by a layout.
        config: the shares, the seed, and what a scene is.

    Raises:
        DataError: nothing is left to train on, the pattern for scenes does not match, or parts share scenes.
    """
    made = dict(found.parts)
    apart = found.makers_parts
    drawn = [part for part in ("all", "test") if part in made and "validation" not in made]
    names = [name for part in (drawn if apart else made) for name in made[part].names]
    rule = ALONE if config.shared_scenes else scene_rule(names, config, found.scenes)
    notes = [*found.notes, *filter(None, [told(rule, names) if not config.shared_scenes else None])]
    if not apart:
        _refuse_shared(made, rule)
    everything = made.pop("all", None)
    if everything is not None and "validation" in made:
        made["train"] = everything
    elif everything is not None:
        made |= _by_shares(everything, config, rule)
    elif drawn:
        made |= _halved(made["test"], config.seed, rule)
        if not made["test"].names:
            notes.append("the test has one scene, which is not parted: all of it is for validation")
    if everything is not None and config.validation_share and not made["validation"].names:
        notes.append(f"{counted(len(_groups(everything, rule)), 'scene')}, too few to hold one out: no validation")
    if "train" not in made or not made["train"].names:
        has = ", ".join(found.parts)
        raise DataError(f"nothing to train on: the data set has {has} alone, or too few pairs to divide")
    order = ("train", "validation", "test")
    parts: dict[str, Pairs] = {name: made[name] for name in order if name in made and made[name].names}
    return Division(parts=parts, rule=rule, notes=tuple(notes))


def _refuse_shared(parts: Mapping[str, Pairs], rule: SceneRule) -> None:
    for (one, first), (other, second) in itertools.combinations(parts.items(), 2):
        homes = [{rule.scene(name): name for name in pairs.names} for pairs in (first, second)]
        if shared := sorted((homes[0].keys() & homes[1].keys()) - {None}, key=str):
            scene = shared[0]
            raise DataError(
                f"{one} and {other} share {counted(len(shared), 'scene')} by {rule.by}, such as {scene} "
                f"({one} {homes[0][scene]}, {other} {homes[1][scene]}), so {other} would measure what was learnt by "
                "heart. Part them, or say what a scene is (--set split.scene=PATTERN), or let parts share scenes "
                "(--set split.shared_scenes=true)"
            )


def _groups(pairs: Pairs, rule: SceneRule) -> list[list[int]]:
    """The pairs of each scene, by number, in the order of the scenes' first pairs."""
    groups: dict[tuple[str, bool], list[int]] = {}
    for index, name in enumerate(pairs.names):
        groups.setdefault(rule.key(name), []).append(index)
    return list(groups.values())


def _subset(pairs: Pairs, groups: Sequence[Sequence[int]]) -> Pairs:
    return pairs.subset(sorted(index for group in groups for index in group))


def _by_shares(pairs: Pairs, config: SplitConfig, rule: SceneRule) -> dict[str, Pairs]:
    groups = _groups(pairs, rule)
    ordered = [groups[position] for position in np.random.default_rng(config.seed).permutation(len(groups))]
    validation, test = (_share(share, len(ordered)) for share in (config.validation_share, config.test_share))
    return {
        "validation": _subset(pairs, ordered[:validation]),
        "test": _subset(pairs, ordered[validation : validation + test]),
        "train": _subset(pairs, ordered[validation + test :]),
    }


def _share(share: float, groups: int) -> int:
    """How many of the groups; one at least where there is one for each part."""
    return max(round(share * groups), 1) if share and groups > 2 else 0


def _halved(pairs: Pairs, seed: int, rule: SceneRule) -> dict[str, Pairs]:
    """Scene by scene; frame by frame, as in the study, where names tell no scenes or parts may share them."""
    groups = _groups(pairs, rule)
    ordered = [groups[position] for position in np.random.default_rng(seed).permutation(len(groups))]
    half = math.ceil(len(ordered) / 2)
    return {"validation": _subset(pairs, ordered[:half]), "test": _subset(pairs, ordered[half:])}


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

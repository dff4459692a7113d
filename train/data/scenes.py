"""Which pairs show one scene, by their names: as the recipe says, as the layout knows, or as common stems let guess.

Frames of one video and crops of one picture are nearly the same image. Were some of them for training and others for
validation, validation would measure what was learnt by heart.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from nafnet.errors import DataError
from nafnet.train.recipes.data_tables import SplitConfig
from nafnet.words import counted


@dataclasses.dataclass(frozen=True)
class SceneRule:
    """How a pair's name tells its scene."""

    by: str
    """What pairs are grouped by, in words."""
    patterns: tuple[str, ...] = ()
    """Regular expressions, looked for in the name; the group of the first that is found is the scene."""
    guessed: bool = False

    def scene(self, name: str) -> str | None:
        """The scene of a pair; None where it has none but itself."""
        return next((found[1] for pattern in self.patterns if (found := re.search(pattern, name))), None)

    def key(self, name: str) -> tuple[str, bool]:
        """Equal for pairs that stay together; a scene is never taken for a pair of its name."""
        scene = self.scene(name)
        return (name, False) if scene is None else (scene, True)


ALONE = SceneRule("nothing: each pair by itself")
BY_FOLDER = SceneRule("the clip's folder", (r"^(.*)/",))
BY_SIDD_SCENE = SceneRule(
    "the scene's number in SIDD's names", (r"(?:^|/)\d{4}_(\d{3})_[A-Z0-9]{2}_\d{5}_\d{5}_\d{4}_[LNH]",)
)
_BY_GOPRO_CLIP = SceneRule("the clip in GoPro's names", (r"(?:^|/)(GOPR\d{4}_\d\d_\d\d)",))
# Cameras count the pictures that they take; such a number tells nothing of a scene.
_CAMERAS = r"(?!_?(?:IMG|DSC[A-Z]?|MG|P|PXL|DJI|CIMG|SAM|MVI|PICT)[-_]?\d+(?:_s\d+)?$)"
_CROP = r"^(.+)_s\d+$"
_NUMBER = r"[-_ .]+(?:frame|[xy])?\d+"
_KNOWN = (BY_SIDD_SCENE, _BY_GOPRO_CLIP)
_CROPS = "what stands before a crop's number, _s000"
_FRAMES = "what stands before a frame's number"
# From the widest to the narrowest: all numbers at the end are the frame's, or the last alone.
_OF_FRAMES = (rf"^{_CAMERAS}(.*?[^\W_].*?)(?:{_NUMBER})+", rf"^{_CAMERAS}(.*[^\W_].*?){_NUMBER}")
_FEWEST = 3
"""Scenes that a guess by a frame's number must find: fewer would leave a part without any."""


def scene_rule(names: Sequence[str], config: SplitConfig, known: SceneRule | None) -> SceneRule:
    """The rule for pairs of these names.

    Args:
        names: of all parts that are divided or compared.
        config: its pattern goes first,
        known: then what the layout knows; None: nothing.

    Raises:
        DataError: the pattern does not match every name.
    """
    if config.scene:
        rule = SceneRule(f"scene = {config.scene!r}", (config.scene,))
        if strange := [name for name in names if rule.scene(name) is None]:
            which = "none" if len(strange) == len(names) else f"{len(names) - len(strange)}"
            raise DataError(
                f"[split] scene = {config.scene!r} matches {which} of {counted(len(names), 'name')}, and not "
                f"{strange[0]}; names are as `nafnet-train data` shows them; choose a pattern that matches all"
            )
        return rule
    return known or guessed(names)


def guessed(names: Sequence[str]) -> SceneRule:
    """What common stems let guess; `ALONE` where they let guess nothing."""
    for rule in _KNOWN:
        if _shared(rule, names):
            return dataclasses.replace(rule, guessed=True)
    crops = SceneRule(_CROPS, (_CROP,), guessed=True)
    cut = _shared(crops, names)
    for frames in _OF_FRAMES:
        if cut:
            rule = SceneRule(f"{_FRAMES} and {_CROPS}", (rf"{frames}(?:_s\d+)?$", _CROP), guessed=True)
        else:
            rule = SceneRule(_FRAMES, (f"{frames}$",), guessed=True)
        # Crops of one picture have one stem in any case: frames have to add to that.
        stems = {crops.key(name)[0] for name in names} if cut else names
        if _shared(rule, sorted(stems)) and len(_scenes(rule, names)) >= _FEWEST:
            return rule
    return crops if cut else ALONE


def _scenes(rule: SceneRule, names: Iterable[str]) -> Counter[str]:
    return Counter(scene for name in names if (scene := rule.scene(name)) is not None)


def _shared(rule: SceneRule, names: Iterable[str]) -> bool:
    """Whether some pairs have one scene by it."""
    return any(count > 1 for count in _scenes(rule, names).values())


def told(rule: SceneRule, names: Sequence[str]) -> str | None:
    """A line for the user about what was guessed; None where nothing needs to be said."""
    if rule.guessed:
        scenes = {rule.key(name) for name in names}
        example = next(name for name in names if rule.scene(name) is not None)
        return (
            f"SCENES ARE GUESSED from names: {counted(len(names), 'pair')} of {counted(len(scenes), 'scene')}, by "
            f"{rule.by} ({example} is of {rule.scene(example)}), and a scene is in one part alone. Another rule: "
            "--set split.scene=PATTERN; each pair by itself: --set 'split.scene=(.*)'"
        )
    if rule == ALONE and (stem := _one_stem(names)):
        return (
            f"all {len(names)} names begin with {stem}: taken for pictures of as many scenes. If some are crops of one "
            "picture or frames of one video, say how names tell: --set split.scene=PATTERN"
        )
    return None


def _one_stem(names: Sequence[str]) -> str | None:
    """What all names have before their numbers, where that is one and no camera's."""
    stems = {SceneRule("", (f"{_OF_FRAMES[0]}$",)).scene(name) for name in names}
    return stems.pop() if len(stems) == 1 and len(names) > 1 else None

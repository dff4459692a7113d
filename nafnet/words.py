"""Words of messages: counts with their nouns, times in round figures, and the name that was meant."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher

_HIDDEN = {"Cc", "Cs", "Zl", "Zp", "Cf"}
"""Categories of what is no text: controls, halves of pairs, ends of lines, signs of format,"""
_HARMLESS = {*"\u00ad\u061c\u200c\u200d\u200e\u200f", *map(chr, range(0xE0020, 0xE0080))}
"""but for those that belong into names: joiners of letters and emoji, marks of right-to-left scripts, tags of flags."""
_LIKE = 0.6  # from 0 to 1, difflib's own threshold
_BEGUN = 0.75  # of a name that is only begun, which may be much shorter
_AS_NEAR = 0.05  # what a second suggestion may be less like than the first


def printable(text: str) -> str:
    """Text as a terminal may show it: names of files can hold anything, commands to the terminal included.

    Control characters, characters that turn the direction of writing, and bytes that are no text become escapes, as
    `\\x1b`; everything else, of any language, stays.
    """
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN or character in _HARMLESS:
        return character
    return character.encode("unicode_escape").decode()


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 pair`, `2 pairs`, `12,000 pairs`; `plural` where an s is not enough."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def in_bytes(count: int) -> str:
    """A size as disks are sold: `812 MB`, `26.4 GB`, `1.2 TB`."""
    for unit, size in (("TB", 10**12), ("GB", 10**9)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 10**6:.0f} MB" if count >= 10**7 else f"{count / 10**6:.1f} MB"


def lasting(seconds: float) -> str:
    """A time as one would say it: `8 s`, `3 min`, `2.5 h`, `3 days`."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            amount = seconds / length
            return f"{amount:.1f} {unit}" if unit == "h" and amount < 10 else f"{amount:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The name that was meant by `word`, or two if they are about as near; none where nothing is like it.

    Hyphens in front do not count, and of a name with slashes its last part is compared as well: `v1` is `study/v1`.
    """
    likeness = {name: _likeness(word, name) for name in known}
    found = sorted((name for name in likeness if likeness[name] >= _LIKE), key=lambda name: (-likeness[name], name))
    return [name for name in found[:2] if likeness[name] >= likeness[found[0]] - _AS_NEAR]


def _likeness(word: str, name: str) -> float:
    meant = word.lstrip("-").lower()
    forms = {name.lstrip("-").lower(), name.rpartition("/")[2].lstrip("-").lower()}
    begun = len(meant) >= 3 and any(form.startswith(meant) for form in forms)
    return max(_BEGUN * begun, *(SequenceMatcher(None, meant, form).ratio() for form in forms))

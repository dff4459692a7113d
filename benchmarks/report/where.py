"""Where the time of a network goes, by level and kind of operator: as tables, and as bars of the page."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from nafnet.benchmarks.profile_result import OperatorTime, ProfileResult
from nafnet.benchmarks.profiles.levels import KINDS, OUTSIDE
from nafnet.benchmarks.report.sheet import Sheet

_TITLE = "Where the time goes"


def profile_sheets(profiles: Sequence[ProfileResult]) -> Iterator[Sheet]:
    """Backends by level, backends by kind of operator, and of each backend its levels by kind."""
    known = [profile for profile in profiles if "operators" in profile]
    if known:
        yield _of_all(known, "level")
        yield _of_all(known, "operator")
    yield from map(_of_one, known)
    failed = tuple((profile["name"], profile["failed"]) for profile in profiles if "failed" in profile)
    if failed:
        yield Sheet(title="Not profiled", columns=("backend", "why"), rows=failed)


def _of_all(profiles: Sequence[ProfileResult], by: Literal["level", "operator"]) -> Sheet:
    columns = _names(profiles, by)
    rows = []
    for profile in profiles:
        seconds = _summed(profile["operators"], by)
        rows.append((profile["name"], *(_ms(seconds.get(name)) for name in columns), _ms(sum(seconds.values()))))
    what = {"level": "levels", "operator": "kinds of operators"}[by]
    size = f"{profiles[0]['batch']} x {profiles[0]['tile']} x {profiles[0]['tile']}"
    return Sheet(title=f"{_TITLE}: ms by {what}, {size}", columns=("backend", *columns, "all"), rows=tuple(rows))


def _of_one(profile: ProfileResult) -> Sheet:
    operators = profile["operators"]
    kinds = [kind for kind in KINDS if any(each["operator"] == kind for each in operators)]
    whole = sum(each["seconds"] for each in operators)
    rows = []
    for level in dict.fromkeys(each["level"] for each in operators):
        own = {each["operator"]: each for each in operators if each["level"] == level}
        total = sum(each["seconds"] for each in own.values())
        cells = (f"{_ms(own[kind]['seconds'])} ({own[kind]['count']})" if kind in own else "" for kind in kinds)
        rows.append((level, *cells, _ms(total), f"{total / whole:.0%}" if whole else ""))
    sums = _summed(operators, "operator")
    rows.append(("all", *(_ms(sums[kind]) for kind in kinds), _ms(whole), ""))
    title = f"{_TITLE}: {profile['name']}, ms (operators)"
    return Sheet(title=title, columns=("level", *kinds, "all", "share"), rows=tuple(rows))


def profile_bars(profiles: Sequence[ProfileResult]) -> dict[str, Any] | None:
    """For the page: each backend's bar, of parts by kind, the fastest first; and its levels' bars, which share a scale
    of their own. None without a profile."""
    known = [profile for profile in profiles if "operators" in profile]
    if not known:
        return None
    wholes = [sum(each["seconds"] for each in profile["operators"]) for profile in known]
    longest = max(max(_summed(profile["operators"], "level").values()) for profile in known)
    found = []
    for whole, profile in sorted(zip(wholes, known, strict=True), key=lambda pair: pair[0]):
        levels = []
        for name, seconds in _summed(profile["operators"], "level").items():
            own = [each for each in profile["operators"] if each["level"] == name]
            levels.append({"name": name, "seconds": seconds, "parts": _parts(own, longest)})
        found.append({
            "name": profile["name"], "seconds": whole, "parts": _parts(profile["operators"], max(wholes)),
            "levels": levels,
        })  # fmt: skip
    kinds = [(KINDS.index(kind), kind) for kind in _names(known, "operator")]
    return {"backends": found, "kinds": kinds, "batch": known[0]["batch"], "tile": known[0]["tile"]}


def _parts(operators: Sequence[OperatorTime], longest: float) -> list[dict[str, Any]]:
    """Of a bar, in percent of the longest."""
    seconds = _summed(operators, "operator")
    return [
        {"number": KINDS.index(kind), "kind": kind, "seconds": seconds[kind], "width": 100 * seconds[kind] / longest}
        for kind in KINDS if kind in seconds
    ]  # fmt: skip


def _summed(operators: Sequence[OperatorTime], by: Literal["level", "operator"]) -> dict[str, float]:
    """Seconds, in the order in which levels or kinds first come."""
    seconds: collections.defaultdict[str, float] = collections.defaultdict(float)
    for each in operators:
        seconds[each[by]] += each["seconds"]
    return dict(seconds)


def _names(profiles: Sequence[ProfileResult], by: Literal["level", "operator"]) -> list[str]:
    """Levels in the order of the network, what is outside last; kinds in theirs."""
    if by == "operator":
        there = {each["operator"] for profile in profiles for each in profile["operators"]}
        return [kind for kind in KINDS if kind in there]
    longest = max((_summed(profile["operators"], by) for profile in profiles), key=len)
    names = dict.fromkeys((*longest, *(each["level"] for profile in profiles for each in profile["operators"])))
    return sorted(names, key=lambda name: name == OUTSIDE)


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{1e3 * seconds:.2f}"

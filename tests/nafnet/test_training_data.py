"""The index of the photographs that the bundled denoiser was trained on."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

import pytest

from nafnet.benchmarks.photographs import NAMES
from nafnet.pretrained import bundled_model

OPEN = ("CC0", "Public domain", "MIT", "BSD-2-Clause", "BSD-3-Clause")


@pytest.fixture(scope="module")
def photographs() -> list[dict[str, str]]:
    with bundled_model(".onnx").with_name("TRAINING_DATA.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def words(row: dict[str, str]) -> Iterator[str]:
    """Of the names that a photograph has, here and where it comes from."""
    for name in (row["name"], row["path"]):
        yield from re.split(r"[^a-z0-9]+", name.lower())


def test_every_photograph_can_be_found_and_has_a_licence_that_allows_it(photographs: list[dict[str, str]]) -> None:
    assert len(photographs) > 100
    assert len({row["name"] for row in photographs}) == len(photographs)
    for row in photographs:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", row["repo"])
        assert re.fullmatch(r"[0-9a-f]{40}", row["commit"])
        assert row["path"]
        assert row["licence"].startswith(OPEN), row


def test_none_of_the_photographs_is_one_that_models_are_measured_on(photographs: list[dict[str, str]]) -> None:
    """Those of scikit-image and scikit-learn by name, and Kodak's, kodim01 to kodim24."""
    for row in photographs:
        assert not set(words(row)) & set(NAMES), row
        assert not any(word.startswith(("kodim", "kodak")) for word in words(row)), row

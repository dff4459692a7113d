"""The kept picture is the same everywhere, and its answer is read with care."""

from __future__ import annotations

import base64
import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from nafnet.errors import SpecError
from nafnet.kept_tile import MOST_PLACES, answer_of, compare_with_answer, kept_tile
from nafnet.parity import Answer, Precision
from nafnet.spec import ModelSpec

FREE = ModelSpec()
GREY = ModelSpec(channels=1, multiple=32)
FIXED = ModelSpec(tile=256, multiple=256, fixed_shape=True)


def restored(spec: ModelSpec) -> NDArray[np.float32]:
    """What a network might make of it: another value at every place."""
    return np.sqrt(kept_tile(spec)) * np.float32(0.9)


def answered(spec: ModelSpec) -> ModelSpec:
    return spec.replace(answer=answer_of(restored(spec)))


def encoded(values: NDArray[np.generic]) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


@pytest.mark.parametrize(
    ("spec", "shape", "sha256"),
    [
        (FREE, (1, 3, 48, 48), "e255082bbd4ca8af2b5517dee4e911456c3d6c8e4ce43c646c26ebf4b8bec905"),
        (FIXED, (1, 3, 256, 256), "afca1b9d0fa1fe665fdac2d6aba976318a3a7da133cbd1f634bacb79c8dbb02f"),
        (
            GREY,
            (1, 1, 64, 64),
            "ef2709345560e5a837b71187c5707a51c87699f533edf5b932246af7d156dc02",
        ),
    ],
)
def test_the_picture_is_the_same_bytes_on_any_machine(spec: ModelSpec, shape: tuple[int, ...], sha256: str) -> None:
    """As bytes of 0 to 255, little endian or not; a change of these needs another answer in every artefact."""
    tile = kept_tile(spec)
    assert (tile.shape, tile.dtype) == (shape, np.float32)
    steps = np.rint(tile.astype(np.float64) * 255)
    assert np.array_equal(tile, (steps / 255).astype(np.float32)), "whole steps of 8 bits"
    assert hashlib.sha256(steps.astype(np.uint8).tobytes()).hexdigest() == sha256
    assert tile.std() > 0.1, "something is in it"


def test_other_borders_see_the_same_picture() -> None:
    np.testing.assert_allclose(kept_tile(FREE.replace(io="uint8")), kept_tile(FREE), atol=1e-7)
    np.testing.assert_allclose(kept_tile(FREE.replace(io="float16")), kept_tile(FREE), atol=2.0**-11)


@pytest.mark.parametrize("spec", [FREE, FIXED, ModelSpec(channels=1), ModelSpec(multiple=4, tile=8, fixed_shape=True)])
def test_the_answer_comes_back_through_the_spec(spec: ModelSpec) -> None:
    read = ModelSpec.from_json(answered(spec).to_json())
    assert compare_with_answer(read, restored(spec), "fp32").refused is None
    assert read.answer is not None
    assert len(read.answer.values) <= MOST_PLACES * spec.channels * 4 * 4 // 3 + 4


@pytest.mark.parametrize("axis", [1, 2, 3], ids=["channels", "rows", "columns"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_what_is_turned_or_swapped_is_seen(axis: int, precision: Precision) -> None:
    assert compare_with_answer(answered(FREE), np.flip(restored(FREE), axis), precision).refused


@pytest.mark.parametrize("phase", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_every_phase_of_a_pixel_shuffle_is_seen(phase: tuple[int, int]) -> None:
    wrong = restored(FREE)
    wrong[:, :, phase[0] :: 2, phase[1] :: 2] += np.float32(0.1)
    assert compare_with_answer(answered(FREE), wrong, "int8").refused


def test_results_that_are_not_finite_are_refused() -> None:
    wrong = np.full_like(restored(FREE), np.nan)
    assert "not finite" in str(compare_with_answer(answered(FREE), wrong, "int8").refused)


NUMBERS = np.full(3 * MOST_PLACES, 0.5)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (None, "0 values.*; expected 768"),
        (Answer(side=48, values="no base 64!"), "cannot be read"),
        (Answer(side=48, values="AAA"), "cannot be read"),
        (Answer(side=48, values="é"), "cannot be read"),
        (Answer(side=48, values=base64.b64encode(b"12345").decode()), "cannot be read"),
        (Answer(side=48, values=""), "0 values.*; expected 768"),
        (Answer(side=48, values=encoded(NUMBERS[1:])), "767 values.*; expected 768"),
        (Answer(side=64, values=encoded(NUMBERS)), "of a picture of 64; expected 768 of one of 48"),
        (Answer(side=48, values=encoded(NUMBERS * np.nan)), "not finite"),
        (Answer(side=48, values=encoded(np.where(np.arange(768) == 5, np.nan, NUMBERS))), "not finite"),
        (Answer(side=48, values=encoded(NUMBERS * np.inf)), "not finite"),
    ],
)
def test_a_malformed_answer_is_refused_in_one_line(answer: Answer | None, complaint: str) -> None:
    for result in (restored(FREE), restored(FREE) * np.float32(np.nan)):
        with pytest.raises(SpecError, match=complaint) as refused:
            compare_with_answer(FREE.replace(answer=answer), result, "int8")
        assert "\n" not in str(refused.value)

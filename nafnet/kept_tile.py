"""One small picture and what PyTorch makes of it, kept in every artefact's spec: a check for whoever loads it.

The picture is made of whole numbers, so it is the same on every machine; the answer is float32, at some places spread
over the result, so that it takes a few kilobytes whatever the size of the model's tiles.
"""

from __future__ import annotations

import base64
import binascii

import numpy as np
from numpy.typing import NDArray

from nafnet.difference import Difference, difference
from nafnet.errors import SpecError
from nafnet.parity import Answer, Precision
from nafnet.spec import ModelSpec
from nafnet.wire import Batch, from_wire, to_wire

SIDE = 48
"""Pixels: of three by three values at the bottleneck of upstream's networks, and a few milliseconds on a CPU."""
MOST_SIDE = 2048
"""Of the picture for a graph whose size is fixed; a larger one is not made."""
MOST_PLACES = 256
# A prime, so that the places are spread over all rows, columns and phases of the pixel shuffles.
_STRIDE = 7919


def kept_tile(spec: ModelSpec) -> Batch:
    """float32[1,C,H,W], as the artefact is given it: slopes, sharp borders and noise, all in steps of 1/255."""
    side = _side(spec)
    row, column = np.indices((side, side), np.int64)
    noise = (row * side + column) * 1103515245 + 12345
    noise = ((noise ^ (noise >> 9)) * 69069 >> 12) % 33 - 16
    boxes = ((row // 7 + column // 5) % 3) * 40
    planes = [
        np.clip(30 + boxes + (row * (channel + 1) + 2 * column) * 90 // (4 * side) + np.roll(noise, channel, 1), 0, 255)
        for channel in range(spec.channels)
    ]
    tile = (np.stack(planes)[None].astype(np.float32)) / np.float32(255)
    return from_wire(to_wire(tile, spec.io), spec.io)


def answer_of(restored: Batch) -> Answer:
    """What is kept of PyTorch's result for the kept tile, float32[1,C,H,W]."""
    values = _sampled(restored).astype("<f4")
    return Answer(side=restored.shape[-1], values=base64.b64encode(values.tobytes()).decode("ascii"))


def compare_with_answer(spec: ModelSpec, restored: Batch, precision: Precision) -> Difference:
    """How far a result for `kept_tile(spec)` is from the kept one.

    Raises:
        SpecError: the spec has no answer, or a malformed one.
    """
    answer = spec.answer
    if answer is not None and answer.side > MOST_SIDE:
        raise SpecError(f"spec: the kept answer is of a picture of {answer.side}; expected at most {MOST_SIDE}")
    count = min(MOST_PLACES, _side(spec) ** 2)
    try:
        values = np.frombuffer(base64.b64decode(answer.values, validate=True) if answer else b"", "<f4")
    except (binascii.Error, ValueError) as error:
        raise SpecError(f"spec: the kept answer cannot be read ({error}); export it anew") from error
    if answer is None or answer.side != _side(spec) or values.size != count * spec.channels:
        raise SpecError(
            f"spec: the kept answer has {values.size} values{f' of a picture of {answer.side}' if answer else ''}; "
            f"expected {count * spec.channels} of one of {_side(spec)}: export it anew"
        )
    if not np.isfinite(values).all():
        raise SpecError("spec: the kept answer has values that are not finite; export it anew")
    return difference(_sampled(restored), values.reshape(spec.channels, count), precision, spec.io)


def is_askable(spec: ModelSpec) -> bool:
    """Whether the picture is of a size that costs no more than a tile."""
    return _side(spec) <= MOST_SIDE


def _side(spec: ModelSpec) -> int:
    """Of the picture: no engine need take more than a tile."""
    return spec.tile if spec.fixed_shape else -(-min(SIDE, spec.tile) // spec.multiple) * spec.multiple


def places(pixels: int) -> NDArray[np.int64]:
    """Which values of a channel of so many pixels are kept, in the order in which they are, int64[P]."""
    return np.arange(min(MOST_PLACES, pixels), dtype=np.int64) * _STRIDE % pixels


def _sampled(restored: Batch) -> Batch:
    """float32[C,P] of the first image."""
    pixels = restored.shape[-2] * restored.shape[-1]
    return restored[0].reshape(restored.shape[1], pixels)[:, places(pixels)]

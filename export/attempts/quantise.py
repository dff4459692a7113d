"""A typed half graph to int8: explicit quantise and dequantise pairs around convolutions, fewer where they cost most.

ONNX Runtime's static quantisation does the arithmetic: weights per output channel, activations per tensor, both
symmetric, ranges from calibration pictures. What it cannot know is which layers to leave alone. Where quantising all
of them is refused, each block's cost is measured, with that block alone in int8, and the costliest stay in half: as
few as it takes.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from nafnet.export.attempts.attempt import Note
from nafnet.export.gate.executors import Run, in_onnxruntime
from nafnet.export.gate.half_storage import as_stored
from nafnet.export.network.graph import INPUT
from nafnet.spec import ModelSpec
from nafnet.steps import OnStep
from nafnet.wire import Batch, to_wire

# Weights are of 7 bits. Processors without VNNI add pairs of products in 16 bits, which of 8 bits saturate: on such
# the same file gave OpenVINO 28 dB where others gave 45.
_EXTRA = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}


class Quantiser:
    """Quantises one graph in several ways, calibrated once.

    Args:
        model: in half.
        pictures: float32[N,C,H,W] batches to calibrate on, of any size the graph takes.
        further: to calibrate on as well; costs are not measured on them, for that runs each for every block.
    """

    def __init__(
        self, model: onnx.ModelProto, spec: ModelSpec, pictures: Sequence[Batch], further: Sequence[Batch] = ()
    ) -> None:
        self._model, self._spec, self._pictures, self._further = model, spec, pictures, further
        self._folder = tempfile.TemporaryDirectory(prefix="nafnet-int8-")
        self.groups = _groups(model)

    def quantise(self, groups: Sequence[str]) -> onnx.ModelProto:
        """The graph with the convolutions of the named groups in int8."""
        folder = Path(self._folder.name)
        copied = onnx.ModelProto()  # which the library moves the weights out of
        copied.CopyFrom(self._model)
        with _silenced():
            quantize_static(
                copied, folder / "int8.onnx", _Reader([*self._pictures, *self._further], self._spec),
                quant_format=QuantFormat.QDQ, op_types_to_quantize=["Conv"], per_channel=True,
                activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax, extra_options=_EXTRA,
                reduce_range=True, calibration_cache_path=folder / "ranges.json",
                nodes_to_exclude=[name for group in set(self.groups) - set(groups) for name in self.groups[group]],
            )  # fmt: skip
        return onnx.load(folder / "int8.onnx")

    def costs(self, note: Note, on_step: OnStep) -> dict[str, float]:
        """What each group costs alone: the mean squared difference to the graph in half, dearest first."""
        on_step("measuring what int8 costs: the graph in half", 0, 0)
        plain = in_onnxruntime(as_stored(self._model).SerializeToString(), self._spec)
        expected = [plain(picture) for picture in self._pictures]
        self.quantise(list(self.groups))  # ranges of all layers go into the cache
        costs = {}
        for index, group in enumerate(self.groups):
            on_step(f"measuring what int8 costs: {group}, {index + 1} of {len(self.groups)}", index, len(self.groups))
            run = in_onnxruntime(as_stored(self.quantise([group])).SerializeToString(), self._spec)
            costs[group] = _difference(run, self._pictures, expected)
            note(f"int8: {index + 1} of {len(self.groups)}, {group} alone: {-10 * np.log10(costs[group]):.1f} dB")
        return dict(sorted(costs.items(), key=lambda item: -item[1]))

    def close(self) -> None:
        """Remove the temporary files."""
        self._folder.cleanup()


def fewest_in_half(count: int, accepted: Callable[[int], bool]) -> int | None:
    """The least number of groups, dearest first, to keep in half so that `accepted` says yes; None if none does.

    By bisection: what is accepted with some kept is accepted with more.
    """
    low, high = 1, count - 1
    if high < low or not accepted(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if accepted(middle) else (middle + 1, high)
    return high


class _Reader(CalibrationDataReader):
    """The calibration pictures, as the graph takes them."""

    def __init__(self, pictures: Sequence[Batch], spec: ModelSpec) -> None:
        self._feeds: Iterator[dict[str, object]] = iter([{INPUT: to_wire(part, spec.io)} for part in pictures])

    def get_next(self) -> dict[str, object] | None:
        return next(self._feeds, None)


def _groups(model: onnx.ModelProto) -> dict[str, list[str]]:
    """The names of the convolutions by the block, or the layer outside of blocks, that they belong to."""
    groups: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            parts = node.input[1].removeprefix("module.").split(".")
            depth = {"encoders": 3, "decoders": 3, "middle_blks": 2, "downs": 2, "ups": 2}.get(parts[0], 1)
            groups.setdefault(".".join(parts[:depth]), []).append(node.name)
    return groups


def _difference(run: Run, pictures: Sequence[Batch], expected: Sequence[Batch]) -> float:
    errors = [np.mean((run(part) - want) ** 2) for part, want in zip(pictures, expected, strict=True)]
    return max(float(np.mean(errors)), 1e-20)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Its advice on pre-processing is for graphs other than ours."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)

"""ONNX Runtime's own profiler, on the CPU."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from nafnet.benchmarks.profiles.levels import Levels, operators_of
from nafnet.benchmarks.profiles.measured import Taken
from nafnet.runtime.backends.onnxruntime_cpu import OnnxRuntimeBackend
from nafnet.wire import Batch

_ENDING = "_kernel_time"


class ProfiledOnnxRuntime(OnnxRuntimeBackend):
    """The backend with its profiler on. It writes the graph that it made of ours, in which its nodes' names are."""

    def _options(self, fixed: dict[str, int]) -> onnxruntime.SessionOptions:
        self._folder = tempfile.TemporaryDirectory()
        options = super()._options(fixed)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(self._folder.name, "run"))
        options.optimized_model_filepath = str(self._optimised)
        return options

    @property
    def _optimised(self) -> Path:
        return Path(self._folder.name, "optimised.onnx")

    def _session(self, fixed: dict[str, int]) -> onnxruntime.InferenceSession:
        self._profiled = super()._session(fixed)
        return self._profiled

    def runs(self, batch: Batch, levels: Levels, count: int) -> list[list[Taken]]:
        """The operators of so many runs. The profile ends with it."""
        for _ in range(count):
            self(batch)
        events = json.loads(Path(self._profiled.end_profiling()).read_text(encoding="utf-8"))
        operators = list(operators_of(onnx.load(self._optimised)))
        places = {operator.name: place for operator, place in zip(operators, levels.place(operators), strict=True)}
        return [
            [(places[event["name"].removesuffix(_ENDING)], event["dur"] / 1e6) for event in run]
            for run in _by_run(events)
        ]

    def close(self) -> None:
        super().close()
        del self._profiled  # which writes into the folder
        self._folder.cleanup()


def _by_run(events: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The events of nodes within each event of a whole run."""
    nodes = [event for event in events if event["cat"] == "Node" and event["name"].endswith(_ENDING)]
    wholes = [event for event in events if event["name"] == "model_run"]
    return [
        [node for node in nodes if whole["ts"] <= node["ts"] < whole["ts"] + whole["dur"]] for whole in wholes
    ]  # fmt: skip

"""TensorRT's and TensorRT-RTX's profiler: the layers of an engine. Not run on hardware yet."""

from __future__ import annotations

import json
from typing import Any

from nafnet.benchmarks.profiles.levels import Levels
from nafnet.benchmarks.profiles.measured import Taken
from nafnet.runtime.backends.engine_lane import EngineLane
from nafnet.runtime.backends.pending import Pending
from nafnet.runtime.backends.tensorrt_engine import TensorRtBackend, TensorRtRtxBackend
from nafnet.wire import Batch


class ProfiledTensorRt(TensorRtBackend):
    """The backend without graphs, in which the library reports no layers."""

    _captures = False

    def runs(self, batch: Batch, levels: Levels, count: int) -> list[list[Taken]]:
        """The layers of so many runs. A layer that is made of several levels' operators belongs to none."""
        lane = self._open_lanes()[0]
        assert isinstance(lane, EngineLane)
        information = self._engine.create_engine_inspector().get_engine_information(
            self._trt.LayerInformationFormat.JSON
        )
        described = described_layers(information)
        pending = Pending.of(batch, self.model.spec.io)
        self.check_given(pending)
        with self.translated():
            reported = [lane.layer_seconds(self._trt, pending) for _ in range(count)]
        return [
            [(levels.place_of_text(described.get(name, name)), seconds) for name, seconds in run] for run in reported
        ]


class ProfiledTensorRtRtx(ProfiledTensorRt, TensorRtRtxBackend):
    """The same of TensorRT-RTX, which is not asked to capture graphs either."""

    def _runtime_config(self) -> Any:
        return None


def described_layers(information: str) -> dict[str, str]:
    """Each layer's name, and with it what the library notes of the operators that it was made of: the name of a layer
    that was fused may say nothing."""
    found = {}
    for layer in json.loads(information).get("Layers", []):
        if isinstance(layer, dict) and "Name" in layer:
            found[layer["Name"]] = f"{layer['Name']} {layer.get('Metadata', '')}"
    return found

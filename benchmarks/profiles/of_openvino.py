"""OpenVINO's performance counters, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nafnet.benchmarks.profiles import levels as kinds
from nafnet.benchmarks.profiles.levels import Levels, Operator
from nafnet.benchmarks.profiles.measured import Taken
from nafnet.runtime.backends.base import Shape
from nafnet.runtime.backends.openvino_cpu import OpenVinoBackend, OpenVinoBfloat16Backend
from nafnet.wire import Batch, to_wire

_BY_TYPE = {
    kinds.DEPTHWISE: "GroupConvolution",
    kinds.NORM: "MVN",
    kinds.MEAN: "ReduceMean ReduceSum Reduce Pooling",
    kinds.ELEMENTWISE: "Subgraph Eltwise Math PowerStatic",
    kinds.SHUFFLE: "DepthToSpace",
    kinds.LAYOUT: "Reorder Transpose Convert Reshape Concatenation Split StridedSlice Pad",
}
_KIND = {name: kind for kind, names in _BY_TYPE.items() for name in names.split()}


class ProfiledOpenVino(OpenVinoBackend):
    """The backend with its counters on."""

    def _compiled(self, shape: Shape | None, settings: dict[str, Any]) -> Any:
        self._counted = super()._compiled(shape, {**settings, "PERF_COUNT": True})
        return self._counted

    def runs(self, batch: Batch, levels: Levels, count: int) -> list[list[Taken]]:
        """The operators of so many runs."""
        request = self._counted.create_infer_request()
        given = {0: to_wire(batch, self.model.spec.io)}
        request.infer(given)  # of free sizes, its graph is known after a run
        operators = list(_operators(self._counted.get_runtime_model()))
        places = {operator.name: place for operator, place in zip(operators, levels.place(operators), strict=True)}
        found = []
        for _ in range(count):
            request.infer(given)
            found.append([
                (places[node.node_name], node.real_time.total_seconds())
                for node in request.profiling_info if node.node_name in places and node.real_time
            ])  # fmt: skip
        return found

    def close(self) -> None:
        super().close()
        del self._counted


class ProfiledOpenVinoBfloat16(ProfiledOpenVino, OpenVinoBfloat16Backend):
    """The same in bfloat16."""


def _operators(graph: Any) -> Iterator[Operator]:
    """Of the graph that the plugin runs. What it has fused is named by what it was; what is not in it does not run."""
    for layer in graph.get_ordered_ops():
        told = layer.get_rt_info()
        made_of = str(told["originalLayersNames"].value).split(",") if "originalLayersNames" in told else []
        yield Operator(
            name=layer.get_friendly_name(), kind=_kind(told), names=made_of,
            takes=[value.get_source_output().get_node().get_friendly_name() for value in layer.inputs()],
            gives=[layer.get_friendly_name()],
        )  # fmt: skip


def _kind(told: Any) -> str | None:
    """By the plugin's type of a layer; of convolutions it says of one alone that it is 1x1, by its kernel's name."""
    layer = str(told["layerType"].value)
    if layer == "Convolution":
        return kinds.POINTWISE if "1x1" in str(told["primitiveType"].value) else kinds.CONVOLUTION
    return _KIND.get(layer)

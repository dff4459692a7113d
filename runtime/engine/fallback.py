"""The model once more, in fp32 and without a single optimisation: for tiles whose result cannot be true."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from nafnet.errors import BackendError
from nafnet.onnxfile import inspect_onnx, read_onnx
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.backends.model import Model
from nafnet.sessions import onnxruntime_session
from nafnet.spec import WireType
from nafnet.wire import Batch, from_wire, to_wire

_HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


class Fallback:
    """Calls the model in fp32 on the CPU; it is loaded when first called.

    Args:
        backend: whose model it is.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._run: Callable[[Batch], Batch] | None = None

    def __call__(self, planes: Batch) -> Batch:
        """float32[N,C,H,W] -> float32[N,C,H,W].

        Raises:
            BackendError: there is nothing to run it with.
        """
        if self._run is None:
            self._run = self._load()
        return self._run(planes)

    def _load(self) -> Callable[[Batch], Batch]:
        model = self._backend.model
        if model.path.suffix == ".onnx":
            return run_in_fp32(read_onnx(model.path), model)
        beside = model.path.with_name(model.path.name.removesuffix(".plan").removesuffix("-rtx") + ".onnx")
        if model.path.suffix == ".plan" and beside.is_file():
            spec = inspect_onnx(beside)
            if spec.weights_sha256 == model.spec.weights_sha256:
                return run_in_fp32(read_onnx(beside), Model(path=beside, spec=spec))
        if model.path.suffix == ".plan":
            raise BackendError(
                f"{model.path.name}: a result is not finite or far out of range, and {beside.name} is not beside it "
                "to run the tile again in fp32: export with --format onnx as well"
            )
        from nafnet.runtime.backends.torch_cpu import TorchBackend

        return TorchBackend(model, self._backend.threads)


def run_in_fp32(graph: onnx.ModelProto, model: Model) -> Callable[[Batch], Batch]:
    """A function that runs the fp32 twin of a graph with ONNX Runtime, graph optimisations off."""
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            "a result is not finite or far out of range, and running the tile again in fp32 needs ONNX Runtime: "
            "pip install 'nafnet-toolchain[cpu]' or pip install 'nafnet-toolchain[gpu]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime_session(fp32_twin(graph).SerializeToString(), options)
    name = session.get_inputs()[0].name
    wire: WireType = "uint8" if model.spec.io == "uint8" else "float32"

    def run(planes: Batch) -> Batch:
        return from_wire(session.run(None, {name: to_wire(planes, wire)})[0], wire)

    return run


def fp32_twin(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with every half weight, activation, input and output in fp32."""
    twin = onnx.ModelProto()
    twin.CopyFrom(graph)
    for tensor in twin.graph.initializer:
        if tensor.data_type in _HALF:
            tensor.CopyFrom(_in_fp32(tensor))
    for node in twin.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "stash_type", "dtype", "output_dtype") and attribute.i in _HALF:
                attribute.i = TensorProto.FLOAT
            if attribute.HasField("t") and attribute.t.data_type in _HALF:
                attribute.t.CopyFrom(_in_fp32(attribute.t))
    del twin.graph.value_info[:]
    for value in (*twin.graph.input, *twin.graph.output):
        if value.type.tensor_type.elem_type in _HALF:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return twin


def _in_fp32(tensor: onnx.TensorProto) -> onnx.TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)

"""What can run a graph on this machine's CPU: every backend of `nafnet-run` that is installed, and what shows more.

ONNX Runtime runs the file as it is, but knows no bfloat16 on a CPU, and does not keep half as half; so a graph in half
is also run with every value rounded where a GPU would store it, see `half_storage`.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import onnx
import onnxruntime

from nafnet.export.gate.half_storage import as_stored, stores_half
from nafnet.export.network.graph import INPUT
from nafnet.parity import Precision, coarser
from nafnet.sessions import no_bfloat16, onnxruntime_session, openvino_core, openvino_settings, openvino_version
from nafnet.spec import ModelSpec
from nafnet.system.processor import features
from nafnet.wire import Batch, from_wire, to_wire

Run = Callable[[Batch], Batch]
"""float32[N,C,H,W] in [0, 1] to the same."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Executor:
    """A library with the graph in it."""

    name: str
    """That of the backend where there is one."""
    run: Run
    precision: Precision
    """What it computes in, whose gate judges it."""
    version: str = ""
    features: tuple[str, ...] = ()
    """Of the processor."""
    decides: bool = True
    """Whether the artefact is refused where this is: not where it computes in less than the artefact does, which is
    told, and kept in the spec for whoever wants that backend by name."""


def executors(model: bytes, spec: ModelSpec) -> list[Executor]:
    """All that can run these bytes of an ONNX file here; of one that cannot load them, `run` raises its error."""
    return list(_executors(model, spec))


def _loaded(load: Callable[[], Run]) -> Run:
    try:
        return load()
    except Exception as error:  # each library has its own family of errors
        reason = error

    def run(_: Batch) -> Batch:
        raise reason

    return run


def _executors(model: bytes, spec: ModelSpec) -> Iterator[Executor]:
    here = features()
    if spec.precision != "bf16":
        yield Executor(
            name="onnxruntime", run=_loaded(lambda: in_onnxruntime(model, spec)), precision=spec.precision,
            version=onnxruntime.__version__, features=here,
        )  # fmt: skip
    if importlib.util.find_spec("openvino") is not None:
        version = openvino_version()
        yield Executor(
            name="openvino", run=_loaded(lambda: in_openvino(model, spec, "f32")), precision=spec.precision,
            version=version, features=here,
        )  # fmt: skip
        if no_bfloat16() is None:
            precision = coarser(spec.precision, "bf16")
            yield Executor(
                name="openvino-bf16", run=_loaded(lambda: in_openvino(model, spec, "bf16")), precision=precision,
                version=version, features=here, decides=precision == spec.precision,
            )  # fmt: skip
    graph = onnx.ModelProto.FromString(model)
    if stores_half(graph):
        kind = "bf16" if spec.precision == "bf16" else "fp16"
        stored = as_stored(graph).SerializeToString()
        yield Executor(
            name=f"{kind} storage", run=in_onnxruntime(stored, spec), precision=spec.precision,
            version=onnxruntime.__version__,
        )  # fmt: skip


def strictest(found: Sequence[Executor]) -> Executor:
    """Of several the one that rounds most, of those that decide."""
    return [each for each in found if each.decides][-1]


def in_onnxruntime(model: bytes, spec: ModelSpec) -> Run:
    """The graph in ONNX Runtime on the CPU, behind the image contract."""
    options = onnxruntime.SessionOptions()
    # Nothing is timed here, and threads that spin take the cores from the others that compute.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    loaded = onnxruntime_session(model, options)

    def run(batch: Batch) -> Batch:
        return from_wire(loaded.run(None, {INPUT: to_wire(batch, spec.io)})[0], spec.io)

    return run


def in_openvino(model: bytes, spec: ModelSpec, precision: Literal["f32", "bf16"]) -> Run:
    """The graph in OpenVINO on the CPU, behind the image contract."""
    core = openvino_core()
    request = core.compile_model(core.read_model(model), "CPU", openvino_settings(precision)).create_infer_request()

    def run(batch: Batch) -> Batch:
        request.infer({0: to_wire(batch, spec.io)}, share_inputs=True)
        return from_wire(request.get_output_tensor(0).data.copy(), spec.io)

    return run

"""A model repository for Triton Inference Server: its configuration, and the ONNX file or the plan as version 1.

Fields after Triton's ``model_config.proto``. Requests are batched where their images are of one size.
"""

from __future__ import annotations

import json
from pathlib import Path

from nafnet.export.attempts.attempt import Exported
from nafnet.export.formats.target import Target
from nafnet.export.network.graph import INPUT, OUTPUT
from nafnet.files import write_whole
from nafnet.spec import METADATA_KEY, ModelSpec, WireType
from nafnet.wire import wire_shape

TYPES: dict[WireType, str] = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "uint8": "TYPE_UINT8"}
# Long enough for a client's tiles to meet in one batch, short beside the time of a tile.
QUEUE_DELAY_MICROSECONDS = 2000


def write(exported: Exported, target: Target) -> list[Path]:
    """DIR/STEM/config.pbtxt and DIR/STEM/1/model.plan where a TensorRT plan was written, else 1/model.onnx."""
    repository = target.folder / target.stem
    (repository / "1").mkdir(parents=True, exist_ok=True)
    plan = target.written.get("tensorrt")
    if plan is None and exported.spec.precision == "bf16":
        target.note("triton: ONNX Runtime has no bf16 on a CPU, and on a GPU this was not run; prefer --fp16")
    model = repository / "1" / ("model.plan" if plan else "model.onnx")
    write_whole(model, plan.read_bytes() if plan else exported.model.SerializeToString())
    for stale in {repository / "1" / "model.plan", repository / "1" / "model.onnx"} - {model}:
        stale.unlink(missing_ok=True)
    config = repository / "config.pbtxt"
    write_whole(config, _config(target.stem, exported, is_plan=plan is not None).encode())
    return [config, model]


def _config(name: str, exported: Exported, *, is_plan: bool) -> str:
    spec, batches = exported.spec, [size[0] for size in exported.sizes]
    preferred = ", ".join(map(str, sorted({batches[1], batches[2]})))
    backend = 'platform: "tensorrt_plan"' if is_plan else 'backend: "onnxruntime"'
    return f"""name: {json.dumps(name)}
{backend}
max_batch_size: {batches[2]}
{_tensor("input", INPUT, spec)}
{_tensor("output", OUTPUT, spec)}
dynamic_batching {{
  preferred_batch_size: [ {preferred} ]
  max_queue_delay_microseconds: {QUEUE_DELAY_MICROSECONDS}
}}
parameters {{
  key: {json.dumps(METADATA_KEY)}
  value {{ string_value: {json.dumps(spec.to_json())} }}
}}
"""


def _tensor(field: str, name: str, spec: ModelSpec) -> str:
    side = spec.tile if spec.fixed_shape else -1
    dims = wire_shape((1, spec.channels, side, side), spec.io)[1:]  # Triton leaves the batch out
    listed = ", ".join(map(str, dims))
    return f"{field} [ {{ name: {json.dumps(name)} data_type: {TYPES[spec.io]} dims: [ {listed} ] }} ]"

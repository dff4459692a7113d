"""What an engine's layers came out as, by type, and whether that is what was asked for."""

from __future__ import annotations

import collections
import json
from typing import Any

from nafnet.errors import ParityError
from nafnet.parity import Precision

Shares = dict[str, float]
# As the inspector writes them, in prose or as names of types, and as the builder's network names them; the first that
# is found in the text. UINT8 is a border's type, which nothing is computed in, and is left out.
_SPELLINGS: tuple[tuple[str, str], ...] = (
    ("UINT8", ""), ("BF16", "BFloat16"), ("BFLOAT16", "BFloat16"), ("FP16", "Half"), ("HALF", "Half"),
    ("INT8", "Int8"), ("FP8", "FP8"), ("FP32", "Float"), ("FLOAT", "Float"),
)  # fmt: skip
_WANTED: dict[Precision, str] = {"fp16": "Half", "bf16": "BFloat16", "int8": "Int8", "fp32": "Float"}
# Norms and SCA's mean stay in fp32, which with their casts is up to half of the layers; int8 covers convolutions.
_LEAST_SHARE: dict[Precision, float] = {"fp16": 1 / 3, "bf16": 1 / 3, "int8": 0.05, "fp32": 0.9}


def read_engine(trt: Any, logger: Any, plan: bytes) -> Shares:
    """The share of a finished engine's layers by the type of their output; empty where it cannot be loaded or says
    nothing of types."""
    runtime = trt.Runtime(logger)
    runtime.engine_host_code_allowed = True  # it was built here
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        return {}
    inspector = engine.create_engine_inspector()
    return shares_of_engine(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def shares_of_network(trt: Any, network: Any) -> Shares:
    """Of the layers that compute on images: constants and the arithmetic of shapes are left out."""
    counts: collections.Counter[str] = collections.Counter()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type != trt.LayerType.CONSTANT and layer.num_outputs:
            counts[_kind(layer.get_output(0).dtype.name)] += 1
    return _shares(counts)


def shares_of_engine(information: str) -> Shares:
    """From the inspector's JSON; layers that give no type, such as waiting for a stream, are left out."""
    counts: collections.Counter[str] = collections.Counter()
    for layer in json.loads(information).get("Layers", []):
        outputs = layer.get("Outputs") if isinstance(layer, dict) else None
        if outputs:
            # TensorRT 11 split the field of 10 in two.
            counts[_kind(str(outputs[0].get("DataType") or outputs[0].get("Format/Datatype", "")))] += 1
    return _shares(counts)


def refuse_wrong_precision(layers: Shares, precision: Precision) -> None:
    """Refuse an engine that is not what it is called.

    Raises:
        ParityError: too few layers are of the type that `precision` stands for.
    """
    wanted, found = _WANTED[precision], layers.get(_WANTED[precision], 0.0)
    if found < _LEAST_SHARE[precision]:
        listed = ", ".join(f"{share:.0%} {kind}" for kind, share in layers.items()) or "none with a type"
        raise ParityError(
            f"engine refused: asked for {precision}, and its layers are {listed}; expected at least "
            f"{_LEAST_SHARE[precision]:.0%} {wanted}: export the graph itself with --{precision}"
        )


def _kind(text: str) -> str:
    return next((kind for spelling, kind in _SPELLINGS if spelling in text.upper()), "")


def _shares(counts: collections.Counter[str]) -> Shares:
    counts.pop("", None)
    total = counts.total()
    return {kind: round(count / total, 4) for kind, count in counts.most_common()}

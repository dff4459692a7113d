"""Where ONNX Runtime ran each node of a graph, by what its profiler writes.

What a session says of its graph's assignment is not enough: providers that want another layout, as WebGPU does, get
their nodes anew after it was recorded, and of 299 nodes it names two.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

NOT_ALL = "assigned to the default CPU EP"
"""In what ONNX Runtime says where `WHOLE` is set, and a provider does not take the whole graph."""
WHOLE = "session.disable_cpu_ep_fallback"
CPU = "CPUExecutionProvider"
HEAVY = frozenset({
    "Conv", "ConvTranspose", "ConvInteger", "FusedConv", "NhwcFusedConv", "QLinearConv", "Gemm", "FusedMatMul",
    "MatMul", "MatMulInteger",
})  # fmt: skip
"""Where all but all of a network's arithmetic is, under the names that the optimisers give as well."""
# Its own, between devices and between layouts.
_MOVING = frozenset({"MemcpyFromHost", "MemcpyToHost", "ReorderInput", "ReorderOutput"})
_REAL = ("float", "float16", "double", "bfloat16")


def on_cpu(profile: Path) -> Counter[str]:
    """Operators that ran on the CPU, with how many nodes each; the arithmetic of shapes, which belongs there, apart.

    Args:
        profile: what `InferenceSession.end_profiling` named, of a session that ran once.

    Raises:
        ValueError, KeyError: it is not as expected.
    """
    events = json.loads(profile.read_text(encoding="utf-8"))
    nodes = [event["args"] for event in events if event.get("cat") == "Node" and "provider" in event["args"]]
    if not nodes:
        raise ValueError("ONNX Runtime's profile names no node")
    # Once each: a node has an event for its kernel, in some versions others around it.
    placed = {(node["node_index"], node["op_name"]) for node in nodes if node["provider"] == CPU and _computes(node)}
    return Counter(kind for _, kind in placed if kind not in _MOVING)


def _computes(node: dict[str, list[dict[str, list[int]]]]) -> bool:
    """Whether it gives real numbers; shapes are whole ones."""
    return any(kind in _REAL for made in node["output_type_shape"] for kind in made)


def in_words(counts: Counter[str]) -> str:
    """As "2 Conv, 1 Relu"."""
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())

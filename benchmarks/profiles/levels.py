"""Which level of the network an operator belongs to, and what kind of operator it is, read from the names in its graph.

A weight's name tells its module, and with it the level; so does whatever is made of a named weight. What has no weight,
such as a norm's arithmetic, belongs where the latest of its inputs was made. Modules between two levels, which are
`downs` and `ups`, belong to the level they lead to. What comes before the first weight belongs to none: it is outside.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

import onnx

OUTSIDE = "outside"
"""Of what belongs to no level: padding, casts and layouts at the border."""
POINTWISE, DEPTHWISE, CONVOLUTION = "1x1 convolution", "depthwise convolution", "other convolution"
NORM, MEAN, ELEMENTWISE, SHUFFLE, LAYOUT, OTHER = "norm", "mean", "elementwise", "pixel shuffle", "layout", "other"
KINDS = (POINTWISE, DEPTHWISE, CONVOLUTION, NORM, MEAN, ELEMENTWISE, SHUFFLE, LAYOUT, OTHER)
"""In the order of tables. Of several that a library has made one of, the first is what it is called."""
_BY_OPERATOR = {
    NORM: "LayerNormalization SimplifiedLayerNormalization SkipLayerNormalization",
    MEAN: "ReduceMean ReduceSum GlobalAveragePool AveragePool CumSum",
    ELEMENTWISE: "Add Sub Mul Div Pow Sqrt Reciprocal Clip Where Round Abs LessOrEqual QuickGelu",
    SHUFFLE: "DepthToSpace",
    LAYOUT: "Transpose ReorderInput ReorderOutput Reshape Split Slice Concat Pad Squeeze Unsqueeze Gather Cast Expand",
}
_KIND = {operator: kind for kind, operators in _BY_OPERATOR.items() for operator in operators.split()}
_CONVOLUTIONS = ("Conv", "FusedConv", "NhwcFusedConv", "QLinearConv")
_MODULE = re.compile(r"module\.(intro|ending|encoders|downs|middle_blks|ups|decoders)(?:\.(\d+))?\.")


def level_names(depth: int) -> tuple[str, ...]:
    """Of a network with so many encoders, in the order in which they work. Encoder and decoder of one number have one
    resolution, 1 the picture's own."""
    encoders = [f"encoder {number}" for number in range(1, depth + 1)]
    return (*encoders, "middle", *(f"decoder {number}" for number in range(depth, 0, -1)))


def level_of_module(part: str, number: int, depth: int) -> int:
    """The place in `level_names` of the module `part`.`number` of a network with so many encoders."""
    if part in ("ups", "decoders"):
        return depth + 1 + number
    return {"intro": 0, "encoders": number, "downs": number + 1, "middle_blks": depth, "ending": 2 * depth}[part]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operator:
    """One step of a graph, as a library or a file has it."""

    name: str
    kind: str | None
    """Of `KINDS`, where that is known without the names."""
    names: Sequence[str]
    """Of nodes and results of the exported graph that it stands for, and of weights."""
    takes: Sequence[str]
    gives: Sequence[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where an operator belongs, and what it is."""

    level: int | None
    """In `Levels.names`; None is outside."""
    kind: str


class Levels:
    """The levels of one exported graph, by the names of its nodes and of their results.

    Args:
        model: an export of a network with `depth` encoders, its weights named.
    """

    def __init__(self, model: onnx.ModelProto, depth: int) -> None:
        self.names = level_names(depth)
        self.depth = depth
        self._places: dict[str, Place] = {}
        for operator, place in zip(found := list(operators_of(model)), self.place(found), strict=True):
            self._places |= dict.fromkeys((operator.name, *operator.gives), place)

    def place(self, operators: Iterable[Operator]) -> list[Place]:
        """Each operator's place, in their order, which is the order in which they work.

        Those of another graph that was made of this one, as a library's own, are known by the names they stand for.
        """
        made: dict[str, int] = {}
        found = []
        for operator in operators:
            known = [self._places[name] for name in operator.names if name in self._places]
            levels = [place.level for place in known if place.level is not None]
            levels += [level for name in operator.names if (level := self._of_weight(name)) is not None]
            levels += [made[name] for name in operator.takes if name in made]
            level = max(levels, default=None)
            if level is not None:
                made |= dict.fromkeys(operator.gives, level)
            found.append(Place(level=level, kind=_kind(operator, [place.kind for place in known])))
        return found

    def name(self, place: Place) -> str:
        """Of a place's level."""
        return OUTSIDE if place.level is None else self.names[place.level]

    def place_of_text(self, text: str) -> Place:
        """What a library calls by names of this graph put together, as `node_a + node_b`; outside, if these are of
        several levels."""
        known = [self._places[word] for word in re.findall(r"[\w./]+", text) if word in self._places]
        found = {place.level for place in known}
        kind = min((place.kind for place in known), key=KINDS.index, default=OTHER)
        return Place(level=found.pop() if len(found) == 1 else None, kind=kind)

    def _of_weight(self, name: str) -> int | None:
        module = _MODULE.search(name)
        return level_of_module(module[1], int(module[2] or 0), self.depth) if module else None


def operators_of(model: onnx.ModelProto) -> Iterable[Operator]:
    """Of an ONNX graph; one that ONNX Runtime has optimised has nodes named by what they were made of."""
    dims = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        made_of = node.name.removesuffix("_nchwc")
        names = [made_of, *(name for name in node.output if name), *(name for name in node.input if name in dims)]
        yield Operator(
            name=node.name, kind=_kind_of_node(node, dims), names=names, takes=tuple(node.input),
            gives=tuple(node.output),
        )  # fmt: skip


def kind_of_convolution(weights: Sequence[int], groups: int) -> str:
    """By its weights [Cout,Cin/groups,kh,kw]."""
    if groups > 1:
        return DEPTHWISE
    return POINTWISE if tuple(weights[2:]) == (1, 1) else CONVOLUTION


def _kind_of_node(node: onnx.NodeProto, dims: Mapping[str, Sequence[int]]) -> str:
    if node.op_type not in _CONVOLUTIONS:
        return _KIND.get(node.op_type, OTHER)
    if ".norm" in node.input[1]:  # the mean of the channels, or of their squares
        return NORM
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    return kind_of_convolution(dims.get(node.input[1], ()), groups)


def _kind(operator: Operator, known: Sequence[str]) -> str:
    """What the operator is itself, or else what it stands for; which convolution, the graph knows best."""
    convolutions = [kind for kind in known if kind in (POINTWISE, DEPTHWISE, CONVOLUTION, NORM)]
    if operator.kind in (POINTWISE, CONVOLUTION) and convolutions:
        return NORM if NORM in convolutions else convolutions[0]
    return operator.kind or min(known, key=KINDS.index, default=OTHER)

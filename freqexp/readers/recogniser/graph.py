"""PP-OCR's recogniser in two halves: pixels to vision tokens, vision tokens to characters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from freqexp.errors import UserError

TOKENS = "p2o.pd_op.pool2d.1.0"
"""The tensor [lines, CHANNELS, 1, columns] between the halves: all that the second one sees."""
CHANNELS = 384

_FLOAT = 1
_OPTIONAL, _REPEATED = 1, 3
_INT, _TEXT, _MESSAGE = 5, 9, 11
_INT64 = 3

# The part of onnx.proto that a split touches. Protobuf keeps fields it does not know, so nothing
# of the model is lost. Each field: name, number, label, type, message type.
_MESSAGES: dict[str, tuple[tuple[str, int, int, int, str], ...]] = {
    "Model": (("graph", 7, _OPTIONAL, _MESSAGE, "Graph"),),
    "Graph": (
        ("node", 1, _REPEATED, _MESSAGE, "Node"),
        ("initializer", 5, _REPEATED, _MESSAGE, "Tensor"),
        ("input", 11, _REPEATED, _MESSAGE, "Value"),
        ("output", 12, _REPEATED, _MESSAGE, "Value"),
        ("value_info", 13, _REPEATED, _MESSAGE, "Value"),
    ),
    "Node": (("input", 1, _REPEATED, _TEXT, ""), ("output", 2, _REPEATED, _TEXT, "")),
    "Tensor": (("name", 8, _OPTIONAL, _TEXT, ""),),
    "Value": (("name", 1, _OPTIONAL, _TEXT, ""), ("type", 2, _OPTIONAL, _MESSAGE, "Type")),
    "Type": (("tensor", 1, _OPTIONAL, _MESSAGE, "Array"),),
    "Array": (("kind", 1, _OPTIONAL, _INT, ""), ("shape", 2, _OPTIONAL, _MESSAGE, "Shape")),
    "Shape": (("side", 1, _REPEATED, _MESSAGE, "Side"),),
    "Side": (("value", 1, _OPTIONAL, _INT64, ""), ("name", 2, _OPTIONAL, _TEXT, "")),
}


@functools.cache
def _messages() -> dict[str, Callable[[], Any]]:
    """The protobuf classes of `_MESSAGES` by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="onnx_part.proto", package="p", syntax="proto2")
    for name, parts in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for part, number, label, kind, of in parts:
            field = message.field.add(name=part, number=number, label=label, type=kind)
            if of:
                field.type_name = f".p.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"p.{name}"))
        for name in _MESSAGES
    }


def _message(name: str) -> Any:
    return _messages()[name]()


def split(model: bytes) -> tuple[bytes, bytes]:
    """An ONNX model as two: from its input to TOKENS, and from there to its output.

    Raises UserError for a model that has no such tensor, or whose second half needs more than it.
    """
    whole = _message("Model")
    whole.ParseFromString(model)
    made = {name for node in whole.graph.node for name in node.output}
    if TOKENS not in made:
        raise UserError(f"the recogniser has no tensor {TOKENS!r}; try rapidocr 3.10.0")
    pixels, text = list(whole.graph.input), list(whole.graph.output)
    between = [_value(TOKENS, ("lines", CHANNELS, 1, "columns"))]
    return _part(model, pixels, between), _part(model, between, text)


def _value(name: str, shape: Sequence[int | str]) -> Any:
    """A float tensor's declaration; a text is the name of a side of any length."""
    value = _message("Value")
    value.name = name
    value.type.tensor.kind = _FLOAT
    for side in shape:
        added = value.type.tensor.shape.side.add()
        if isinstance(side, int):
            added.value = side
        else:
            added.name = side
    return value


def _part(model: bytes, inputs: Sequence[Any], outputs: Sequence[Any]) -> bytes:
    """The nodes between `inputs` and `outputs`, in their order, with the weights they use."""
    part = _message("Model")
    part.ParseFromString(model)
    graph = part.graph
    given = {value.name for value in inputs}
    wanted = {value.name for value in outputs}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output) and not given.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    nodes = [_copy("Node", node) for node in reversed(kept)]
    weights = [_copy("Tensor", tensor) for tensor in graph.initializer if tensor.name in wanted]
    known = given | {name for node in nodes for name in node.output} | {w.name for w in weights}
    missing = sorted(wanted - known - {""})
    if missing:
        raise UserError(f"the recogniser can't be split at {TOKENS!r}: {missing[0]} is before it")
    for field in ("node", "initializer", "input", "output", "value_info"):
        graph.ClearField(field)
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
    graph.input.extend(inputs)
    graph.output.extend(outputs)
    data: bytes = part.SerializeToString()
    return data


def _copy(name: str, message: Any) -> Any:
    made: Any = _message(name)
    made.CopyFrom(message)
    return made

"""Reads the top level of a protobuf file: enough to know an ONNX graph and to see that it is whole.

Source: protobuf.dev, encoding; onnx/onnx.proto, message ModelProto (graph is field 7).
"""

from pathlib import Path
from typing import BinaryIO

from sslaudit_formats.opened import Unread

_GRAPH = 7
_VARINT, _BYTES = 0, 2
_MODEL_PROTO = {1: _VARINT, 5: _VARINT} | dict.fromkeys((2, 3, 4, 6, _GRAPH, 8, 14, 20, 25, 26), _BYTES)
"""Fields of ModelProto and how each is written."""


def is_onnx(path: Path) -> bool:
    """Whether the file is a ModelProto with a graph. Raises ``Unread`` when its end is missing."""
    size = path.stat().st_size
    graph = False
    with path.open("rb") as file:
        while (position := file.tell()) < size:
            tag = _varint(file)
            if tag is None:
                return False
            field, wire = tag >> 3, tag & 7
            if _MODEL_PROTO.get(field) != wire or (position == 0 and field != 1):
                return False
            length = _varint(file)
            if length is None:
                return False
            if wire == _BYTES:
                graph |= field == _GRAPH
                if (end := file.tell() + length) > size:
                    if not graph:
                        return False
                    raise Unread(
                        f"is a truncated ONNX graph: {end:,} bytes are announced, {size:,} are there; "
                        "copy or download it again"
                    )
                file.seek(end)
    return graph


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None

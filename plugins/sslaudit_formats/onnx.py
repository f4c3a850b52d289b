"""Runs ONNX graphs as encoders on the CPU, behind the extra ``sslaudit[onnx]``."""

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sslaudit.errors import EncoderError, UnreadableFile
from sslaudit_formats.features import vectors
from sslaudit_formats.opened import Opened

_TYPES: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_OTHER_TYPE = re.compile(r"tensor\((float16|double|bfloat16)\)")
"""A type that onnxruntime names when operations do not take it."""
_NO_KERNEL = "Could not find an implementation"

_RUNTIME = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .* failed: ?)?")
"""What onnxruntime says before the cause."""


class Graph:
    """An ONNX graph as (B, 3, H, W) -> (B, D)."""

    def __init__(self, session: Any, text: str) -> None:
        self._session = session
        self._text = text
        taken = session.get_inputs()
        if len(taken) != 1 or taken[0].type not in _TYPES or len(taken[0].shape) != 4:
            shown = ", ".join(f"{one.name}: {one.type}{_shape(one.shape)}" for one in taken[:3])
            raise UnreadableFile(
                f"'{text}' is an ONNX graph that takes {shown or 'nothing'}; an encoder takes one batch of "
                "images of float32, (B, 3, H, W) or (B, H, W, 3)."
            )
        self._name = taken[0].name
        self._type = _TYPES[taken[0].type]
        shape = taken[0].shape
        self.channels_last = shape[1] != 3 and shape[3] == 3
        """Whether the graph takes (B, H, W, 3)."""
        channels = shape[3] if self.channels_last else shape[1]
        if isinstance(channels, int) and channels != 3:
            raise UnreadableFile(
                f"'{text}' takes images of shape {_shape(shape)}; sslaudit has images of 3 channels."
            )
        self.batch: int | None = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        """The batch size when it is fixed."""
        height, width = shape[1:3] if self.channels_last else shape[2:]
        self.size: tuple[int, int] | None = None
        """(height, width) in pixels when the graph fixes them."""
        if isinstance(height, int) and isinstance(width, int):
            self.size = (height, width)
        self.notes: tuple[str, ...] = ()
        """What was done to the output; known after the first call."""

    def __call__(self, images: Tensor) -> Tensor:
        """Features (B, D) in float32 on the device of ``images``. Raises ``EncoderError``."""
        if self.size is not None and tuple(images.shape[2:]) != self.size:
            h, w = self.size
            raise EncoderError(
                f"'{self._text}' takes images of {h}x{w} pixels, not {images.shape[2]}x{images.shape[3]}."
            )
        features = torch.cat([self._run(block) for block in images.split(self.batch or len(images))])
        return features.to(images.device)

    def _run(self, images: Tensor) -> Tensor:
        batch = images.detach().cpu()
        if self.batch is not None and len(batch) < self.batch:  # the last block of a fixed batch size
            batch = torch.cat([batch, batch[-1:].expand(self.batch - len(batch), -1, -1, -1)])
        if self.channels_last:
            batch = batch.permute(0, 2, 3, 1)
        array = np.ascontiguousarray(batch.numpy(), dtype=self._type)
        try:
            outputs = [_tensor(one) for one in self._session.run(None, {self._name: array})]
        except Exception as error:  # onnxruntime raises kinds of its own for each fault
            raise EncoderError(
                f"'{self._text}' cannot take images of shape {tuple(images.shape)}: {_reason(error)}"
            ) from error
        features, note = vectors(outputs[0] if len(outputs) == 1 else outputs, len(batch), self._text)
        self.notes = (note,) if note else ()
        return features[: len(images)]


def module(opened: Opened, text: str) -> Graph:
    """The graph, ready to run.

    Raises ``EncoderError`` without onnxruntime, ``UnreadableFile`` when the graph does not open.
    """
    try:
        import onnxruntime
    except ImportError:
        raise EncoderError(
            f"'{text}' is an ONNX graph, which needs onnxruntime:\n  pip install 'sslaudit[onnx]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its faults are raised; what it logs beside them goes to stderr
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(opened.path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises kinds of its own for each fault
        if other := _OTHER_TYPE.search(str(error)):
            kind = {"double": "float64"}.get(other[1], other[1])
            reason = f"is an ONNX graph whose weights or images are {kind}; export it in float32."
        else:
            reason = f"is an ONNX graph that does not open: {_reason(error)}"
        raise UnreadableFile(f"'{text}' {reason}") from error
    return Graph(session, text)


def _tensor(output: Any) -> Any:
    return torch.from_numpy(output) if isinstance(output, np.ndarray) else output


def _reason(error: Exception) -> str:
    text = _RUNTIME.sub("", " ".join(str(error).split()))
    if text.startswith(_NO_KERNEL):
        text += "; where its weights are of another type, export it in float32"
    return f"{text[:200]}{'' if text.endswith('.') and len(text) <= 200 else '.'}"


def _shape(shape: Any) -> str:
    return "(" + ", ".join(str(one) for one in shape) + ")"

"""Runs TorchScript archives as encoders, in evaluation mode."""

import sys
import warnings
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from sslaudit.errors import EncoderError, UnreadableFile
from sslaudit_formats.features import vectors
from sslaudit_formats.opened import Opened

_TRAINING = {
    "aten::dropout": 2,
    "aten::feature_dropout": 2,
    "aten::alpha_dropout": 2,
    "aten::batch_norm": 5,
}
"""Operations that behave otherwise in training, and the place of that argument."""


class Script(nn.Module):
    """A TorchScript module as (B, 3, H, W) -> (B, D)."""

    def __init__(self, script: Any, text: str) -> None:
        super().__init__()
        self.script = script
        self.notes: tuple[str, ...] = ()
        """What was done to the output; known after the first call."""
        self._text = text

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, D) in float32. Raises ``EncoderError`` when there are none."""
        try:
            with redirect_stdout(sys.stderr):  # a program may print; stdout is for the result
                output = self.script(images)
        except RuntimeError as error:
            if kind := _other_type(self.script):
                raise EncoderError(
                    f"'{self._text}' does not take images of float32: its weights are {kind}; "
                    "export it in float32."
                ) from error
            raise EncoderError(
                f"'{self._text}' cannot take images of shape {tuple(images.shape)}: {_reason(error)}"
            ) from error
        features, note = vectors(output, len(images), self._text)
        self.notes = (note,) if note else ()
        return features


def module(opened: Opened, text: str, device: str) -> nn.Module:
    """The archive as a network in evaluation mode on ``device``.

    Raises ``UnreadableFile`` when it is damaged, which its checksums tell first, or was traced in
    training mode, which stays.
    """
    opened.verify()
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated", category=FutureWarning)
        try:
            script = torch.jit.load(str(opened.path), map_location=device)
            script = script.eval()
            traced = _traced_in_training(script)
        except Exception as error:  # a broken archive breaks the reader in any place
            raise UnreadableFile(
                f"'{text}' is a damaged TorchScript archive ({type(error).__name__}); "
                "copy or download it again."
            ) from error
    if traced:
        raise UnreadableFile(
            f"'{text}' was traced in training mode: its {traced} cannot be switched off. "
            "Call model.eval() before torch.jit.trace."
        )
    return Script(script, text).eval()


def _traced_in_training(script: Any) -> str:
    """The name of an operation whose training flag is written into the graph as true."""
    graph = script.inlined_graph  # its nodes live as long as it does
    for kind, place in _TRAINING.items():
        for node in graph.findAllNodes(kind, True):
            flag = list(node.inputs())[place]
            if flag.node().kind() == "prim::Constant" and flag.toIValue() is True:
                return kind.removeprefix("aten::")
    return ""


def _other_type(script: Any) -> str:
    """The type of weights that are not float32; empty when all are."""
    kinds = {tensor.dtype for tensor in script.parameters() if tensor.is_floating_point()}
    return ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds - {torch.float32}))


def _reason(error: RuntimeError) -> str:
    """The last line of TorchScript's error, which is the cause; the lines before are its stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__

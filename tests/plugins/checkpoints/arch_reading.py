"""What the tests of all families of architectures do with a state dict, as the loader does it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sslaudit_checkpoints.architectures import DIALECTS
from sslaudit_checkpoints.architectures.base import Hints, Reading
from sslaudit_checkpoints.match import match
from sslaudit_checkpoints.materialise import network

State = Mapping[str, Tensor]


def read(state: State, **hints: object) -> Reading:
    """As the one dialect that recognises ``state`` reads it."""
    found = [(dialect, prefix) for dialect in DIALECTS for prefix in dialect.prefixes(state)]
    assert len(found) == 1, found
    dialect, prefix = found[0]
    return dialect.read(
        {n[len(prefix) :]: t for n, t in state.items() if n.startswith(prefix)}, Hints(**hints)
    )


def complete(reading: Reading) -> bool:
    """Whether every tensor of the network is there."""
    return match(reading.state, reading.architecture.skeleton().state_dict()).complete


def embed(reading: Reading, pixels: Tensor) -> Tensor:
    """Features (B, D) in float64, after a complete match."""
    skeleton = reading.architecture.skeleton()
    fit = match(reading.state, skeleton.state_dict())
    assert fit.complete, fit
    weights = {name: reading.state[name] for name in fit.matched}
    with torch.inference_mode():
        return network(reading.architecture, skeleton, weights).eval()(pixels).double()


def assert_same(got: Tensor, expected: Tensor) -> None:
    assert got.shape == expected.shape
    assert float((got - expected).abs().max()) <= 1e-5 * float(expected.abs().max())

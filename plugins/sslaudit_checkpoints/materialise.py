"""From tensors to a network, without a second copy of the weights."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sslaudit.errors import WeightsMismatch
from sslaudit_checkpoints.architectures.base import Architecture


def as_float(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], text: str) -> dict[str, Tensor]:
    """The weights as float32, in the memory layout of ``expected``; what is float32 already is not copied.

    Raises ``WeightsMismatch`` for numbers of another kind.
    """
    ready = {}
    for name, tensor in weights.items():
        if expected[name].is_floating_point():
            if not tensor.is_floating_point() or tensor.layout is not torch.strided:
                kind = str(tensor.dtype).removeprefix("torch.")
                raise WeightsMismatch(
                    f"'{text}': the weights '{name}' are stored as {kind}, not as plain floating-point "
                    "numbers. Save them unquantised."
                )
            tensor = tensor.detach().float()
        ready[name] = _like(tensor, expected[name])
    return ready


def refuse_impossible(name: str, tensor: Tensor, text: str) -> None:
    """Raises ``WeightsMismatch`` for NaN, infinity, or a negative variance.

    A finite sum is proof enough, and is found without a mask as large as the tensor.
    """
    if tensor.is_floating_point() and not (torch.isfinite(tensor.sum()) or torch.isfinite(tensor).all()):
        raise WeightsMismatch(f"'{text}': the weights '{name}' hold NaN or infinity.")
    if name.endswith("running_var") and bool((tensor < 0).any()):
        raise WeightsMismatch(f"'{text}': the variances '{name}' are negative.")


def network(architecture: Architecture, skeleton: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """The network with all its weights from ``weights``, which it takes over without a copy."""
    counters = {
        name: torch.zeros((), dtype=torch.long)
        for name in skeleton.state_dict()
        if name not in weights and name.endswith("num_batches_tracked")
    }
    state = {**weights, **counters}
    skeleton.load_state_dict(state, assign=True)
    if any(t.is_meta for t in (*skeleton.parameters(), *skeleton.buffers())):
        model = architecture.build()  # it computes buffers of its own, which no file holds
        model.load_state_dict(state, assign=True)
        return model
    return skeleton


def fresh(architecture: Architecture, seed: int) -> nn.Module:
    """The network with weights drawn from ``seed``; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return architecture.build()


def _like(tensor: Tensor, expected: Tensor) -> Tensor:
    """In the memory layout of ``expected``: some networks are built channels-last for speed."""
    last = torch.channels_last
    if expected.ndim == 4 and not expected.is_contiguous() and expected.is_contiguous(memory_format=last):
        return tensor.contiguous(memory_format=last)
    return tensor

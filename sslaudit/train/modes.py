"""A network looked at in eval mode while it trains."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(net: nn.Module, device: str = "cpu") -> Iterator[None]:
    """Eval mode without gradient; then each module is in its own mode again, and generators as before."""
    modes = [(module, module.training) for module in net.modules()]
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), torch.no_grad():
        net.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training

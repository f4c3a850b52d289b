"""A network f with small L_{inf,n0}, by gradient."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sslaudit.errors import TrainingError
from sslaudit.train.losses.pretext import pretext_loss

STEPS = 500
BATCH = 1024
"""Samples in a step, of each kind."""
_OF_EACH_DIMENSION = 8
"""Or so many times d_f, if that is more: W* is fitted in the batch, and fits any labels of few."""
HIDDEN = 256
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4


def train_network(
    x_pre: Tensor,
    z: Tensor,
    x_down: Tensor,
    y: Tensor,
    *,
    lam: float,
    dim: int,
    seed: int,
    intercept: bool = True,
    steps: int = STEPS,
    on_step: Callable[[int, float], None] | None = None,
) -> nn.Sequential:
    """Two layers with one ReLU, (B, D) to (B, dim), trained on standardised features.

    AdamW with a cosine; ``BATCH`` samples of each kind, or 8 d_f if that is more, are drawn for a step
    without replacement, all where there are no more. The seed decides all weights, and global
    generators are left as they were. There may be better minima. Raises ``TrainingError`` when the loss
    is no longer finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        net = nn.Sequential(nn.Linear(x_pre.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, dim))
    draws = torch.Generator().manual_seed(seed)
    x_pre, x_down = x_pre.float(), x_down.float()
    optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    size = max(BATCH, _OF_EACH_DIMENSION * dim)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for number in range(1, steps + 1):
        down, pre = _batch(len(x_down), size, draws), _batch(len(x_pre), size, draws)
        f_down, f_pre = net(x_down[down]), net(x_pre[pre])
        if not (torch.isfinite(f_down).all() and torch.isfinite(f_pre).all()):
            raise TrainingError(f"the features are no longer finite at step {number}.")
        loss = pretext_loss(f_down, y[down], f_pre, z[pre], lam, intercept=intercept)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if on_step is not None:
            on_step(number, loss.item())
    if not all(bool(torch.isfinite(weights).all()) for weights in net.parameters()):
        raise TrainingError(f"the weights are no longer finite after {steps} steps.")
    return net


def _batch(n: int, size: int, generator: torch.Generator) -> Tensor | slice:
    return slice(None) if n <= size else torch.randperm(n, generator=generator)[:size]

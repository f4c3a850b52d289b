"""What the processes of one run share: batches of projections, with their gradients."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather(z: Tensor) -> Tensor:
    """The rows of all processes, (W B, D) of (B, D) each, in the order of ranks; alone, ``z`` itself.

    Every process holds equally many rows. The gradient of a process is the sum over all processes'
    losses, so that its mean over processes, which data-parallel training takes, is that of one process
    on the joined batch.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return z
    joined: Tensor = _Gather.apply(z)
    return joined


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.rows = len(z)
        z = z.contiguous()
        parts = [torch.empty_like(z) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, z)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # All ranks' losses see these rows; a plain all_gather would keep this rank's share alone.
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        start = dist.get_rank() * ctx.rows
        return total[start : start + ctx.rows]

"""What the processes of one run share: batches of projections, with their gradients."""

import torch.distributed
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def gather(z: Tensor) -> Tensor:
    """The rows of all processes, (W B, D) of (B, D) each, in the order of ranks; alone, ``z`` itself.

    Every process holds equally many rows. The gradient of a process is the sum over all processes'
    losses, so that its mean over processes, which data-parallel training takes, is that of one process
    on the joined batch.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return z
    return torch.cat(all_gather(z.contiguous()))  # type: ignore[no-untyped-call]

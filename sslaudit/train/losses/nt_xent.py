"""NT-Xent: the normalised temperature-scaled cross-entropy of SimCLR."""

import torch
from torch import Tensor
from torch.nn import functional

from sslaudit.train.losses.precision import in_float32
from sslaudit.train.losses.unit import unit_rows


@in_float32
def nt_xent(z_a: Tensor, z_b: Tensor, *, temperature: float = 0.5) -> Tensor:
    """Mean over the 2N views of -log softmax of the positive among the 2N - 1 other views.

    ``z_a`` and ``z_b`` are (N, D), row i of both from one image; rows are l2-normalised here, and a
    zero row keeps cosine 0 with everything. N = 1 has no negatives and gives 0. Computed in float32
    at least, also under autocast, and by log-sum-exp, so that small temperatures stay finite.

    Source: Chen et al., ICML 2020, Eq. 1.
    """
    n = z_a.shape[0]
    z = unit_rows(torch.cat([z_a, z_b]))  # 2N x D
    itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(itself, float("-inf"))  # 2N x 2N
    positive = torch.arange(2 * n, device=z.device).roll(n)  # the other view of each view
    return functional.cross_entropy(logits, positive)

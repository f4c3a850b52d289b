"""InfoNCE against a queue of negatives, the loss of MoCo."""

import torch
from torch import Tensor
from torch.nn import functional

from sslaudit.train.losses.precision import in_float32
from sslaudit.train.losses.unit import unit_rows


@in_float32
def info_nce(
    queries: Tensor,
    keys: Tensor,
    negatives: Tensor,
    *,
    temperature: float = 0.07,
    counted: Tensor | None = None,
) -> Tensor:
    """Mean over N queries of -log softmax of the query's key among that key and the negatives.

    ``queries`` and ``keys`` are (N, D), row i of both from one image; ``negatives`` are (M, D), of
    which only rows where ``counted`` (M,) is true take part. Rows are l2-normalised here, and a zero
    row keeps cosine 0 with everything. Without negatives the loss is 0. Computed in float32 at least,
    also under autocast, and by log-sum-exp.

    Source: He et al., CVPR 2020, Eq. 1.
    """
    q, k = unit_rows(queries), unit_rows(keys)
    positive = (q * k).sum(dim=1, keepdim=True)  # N x 1
    negative = q @ unit_rows(negatives).T  # N x M
    if counted is not None:
        negative = negative.masked_fill(~counted, float("-inf"))
    logits = torch.cat([positive, negative], dim=1) / temperature
    return functional.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))

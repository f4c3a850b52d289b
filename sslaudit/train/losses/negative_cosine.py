"""Negative cosine similarity, the loss of SimSiam and, but for constants, of BYOL."""

from torch import Tensor

from sslaudit.train.losses.precision import in_float32
from sslaudit.train.losses.unit import unit_rows


@in_float32
def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    """Mean over N rows of -cos(p_i, z_i), in [-1, 1].

    ``p`` and ``z`` are (N, D), prediction and target of row i from one image; a zero row has cosine 0.
    Both get gradients: a target that must not is detached by the caller. The squared distance of BYOL
    (Grill et al., NeurIPS 2020, Eq. 2) is 2 + 2 times this. Computed in float32 at least, also under
    autocast.

    Source: Chen and He, CVPR 2021, Eq. 1.
    """
    return -(unit_rows(p) * unit_rows(z)).sum(dim=1).mean()

"""VICReg: invariance of views, variance of each dimension, covariance between dimensions."""

import torch
from torch import Tensor

from sslaudit.train.losses.precision import in_float32

EPSILON = 1e-4
"""Added to the variance under the root: the gradient of a constant dimension stays finite."""


@in_float32
def vicreg(
    z_a: Tensor,
    z_b: Tensor,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Tensor:
    """invariance s(Z, Z') + variance (v(Z) + v(Z')) + covariance (c(Z) + c(Z')).

    ``z_a`` and ``z_b`` are (N, D), row i of both from one image. s is the mean squared difference over
    images and dimensions, v the mean over dimensions of max(0, 1 - sqrt(Var + 1e-4)), c the sum of the
    squared off-diagonal covariances over D. Variances and covariances are unbiased; of one image they
    are 0. Computed in float32 at least, also under autocast.

    s is that of Algorithm 1, which the weights 25, 25 and 1 were chosen for: Eq. 5 as printed sums over
    dimensions and would weigh D times more. Released code takes half of v(Z) + v(Z').

    Source: Bardes et al., ICLR 2022, Eq. 1 to 6 and Algorithm 1.
    """
    s = (z_a - z_b).square().mean()
    (v_a, c_a), (v_b, c_b) = _spread(z_a), _spread(z_b)
    return invariance * s + variance * (v_a + v_b) + covariance * (c_a + c_b)


def _spread(z: Tensor) -> tuple[Tensor, Tensor]:
    """v (Eq. 1 and 2) and c (Eq. 3 and 4) of one batch (N, D)."""
    n, d = z.shape
    centred = z - z.mean(dim=0)
    cov = centred.T @ centred / max(1, n - 1)  # D x D
    var = torch.diagonal(cov)
    hinge = (1 - (var + EPSILON).sqrt()).relu().mean()
    return hinge, (cov - torch.diag(var)).square().sum() / d

"""The redundancy-reduction loss of Barlow Twins."""

import torch
from torch import Tensor

from sslaudit.train.losses.precision import in_float32


def cross_correlation(z_a: Tensor, z_b: Tensor) -> Tensor:
    """C (D, D) of two batches (N, D), each dimension standardised over its own batch with ddof 0.

    With ddof 0 perfectly aligned views have C_ii = 1; the unbiased variance would give (N - 1) / N.
    A dimension that does not vary beyond rounding has correlation 0.

    Source: Zbontar et al., ICML 2021, Eq. 2.
    """
    return _standardise(z_a).T @ _standardise(z_b) / z_a.shape[0]


def _standardise(z: Tensor) -> Tensor:
    centred = z - z.mean(dim=0)
    variance = centred.square().mean(dim=0)
    # Relative to the values, so that the loss does not depend on their scale.
    rounding = (16 * torch.finfo(z.dtype).eps * z.detach().abs().amax(dim=0)).square()
    varies = variance > rounding
    # Replaced before the root, whose gradient at 0 is infinite.
    return centred.where(varies, 0.0) / variance.where(varies, 1.0).sqrt()


@in_float32
def barlow_twins(z_a: Tensor, z_b: Tensor, *, lambd: float = 5e-3) -> Tensor:
    """sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2 of the cross-correlation C.

    ``z_a`` and ``z_b`` are (N, D), row i of both from one image. Computed in float32 at least, also
    under autocast.

    Source: Zbontar et al., ICML 2021, Eq. 1.
    """
    c = cross_correlation(z_a, z_b)  # D x D
    on = torch.diagonal(c)
    off = c.square().sum() - on.square().sum()
    return (1 - on).square().sum() + lambd * off

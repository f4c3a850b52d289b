"""Centres and scatter of classes, and how far a smooth function of them may be off.

The infinitesimal jackknife asks for the derivative of the function by the weight of each image. A function
of centres and scatter has one gradient by these, which autograd gives, and the derivative by a weight is
its product with the image's own part. So there is one more pass over the features, and no resampling.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from sslaudit.results import Interval

ROUNDING = 1e-12
"""Squared lengths below this share of the mean squared length are rounding of single-precision features."""
METHOD = "infinitesimal jackknife over images within classes"

_HELD = 2**24
"""Numbers of a tile of features that are in memory at one time."""

Array = np.ndarray | Tensor
Statistic = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of the centres (K, D), the scatter (D, D) and the variances (K,) of ``Moments``: a number."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """First and second moments of K classes, float64, on the device of the features."""

    sizes: Tensor
    """(K,) n_k."""
    shares: Tensor
    """(K,) how much each class counts; they add up to 1."""
    origin: Tensor
    """(D,) what the centres are measured from: one of the features, so that equal ones have no spread."""
    centres: Tensor
    """(K, D) mu_k less the origin."""
    scatter: Tensor
    """(D, D) sum of shares times Cov_k, which is over n_k."""
    variances: Tensor
    """(K,) tr Cov_k."""
    energy: float
    """E ||f||^2 of the features as they are."""

    @property
    def offsets(self) -> Tensor:
        """(K, D) mu_k less the mean of the centres, weighted by the shares."""
        return self.centres - self.shares @ self.centres

    @property
    def constant(self) -> bool:
        """Whether the features do not vary, but for rounding."""
        spread = self.shares @ (self.variances + self.offsets.square().sum(1))
        return bool(spread <= ROUNDING * self.energy)


def class_moments(features: Array, labels: Array, *, balanced: bool) -> Moments:
    """Moments of features (N, D) in the classes of ``labels`` (N,), which are 0..K-1 without gaps.

    Classes count alike when ``balanced``, else by their sizes. Raises ``ValueError`` for other shapes, a
    class without images and features that are not finite.
    """
    rows, own = checked(features, labels)
    sizes = torch.bincount(own).double()
    if not sizes.all():
        raise ValueError(f"classes {torch.nonzero(sizes == 0).flatten().tolist()} have no images.")
    K, D = len(sizes), rows.shape[1]
    shares = torch.full_like(sizes, 1 / K) if balanced else sizes / len(rows)
    origin = rows[0].double()
    sums, energy = torch.zeros(K, D, dtype=torch.float64, device=rows.device), 0.0
    for tile, mine in tiles(rows, own):
        energy += float(tile.square().sum())
        sums += one_hot(mine, K).T @ (tile - origin)
    if not np.isfinite(energy):
        raise ValueError("the features are not all finite.")
    centres = sums / sizes[:, None]
    scatter = torch.zeros(D, D, dtype=torch.float64, device=rows.device)
    squares = torch.zeros(K, dtype=torch.float64, device=rows.device)
    for tile, mine in tiles(rows, own):
        offset = tile - origin - centres[mine]
        scatter += (offset * (shares / sizes)[mine, None]).T @ offset
        squares += one_hot(mine, K).T @ offset.square().sum(1)
    return Moments(sizes, shares, origin, centres, scatter, squares / sizes, energy / len(rows))


def standard_error(statistic: Statistic, moments: Moments, features: Array, labels: Array) -> float | None:
    """Of a statistic of ``class_moments(features, labels)``, conditional on the class sizes.

    A class with one image adds nothing. None where the statistic has no derivative.
    Source: Jaeckel 1972; Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982, Sec. 6.
    """
    rows, own = checked(features, labels)
    leaves = [m.clone().requires_grad_() for m in (moments.centres, moments.scatter, moments.variances)]
    found = torch.autograd.grad(statistic(*leaves), leaves, allow_unused=True)
    towards, across, along = (
        torch.zeros_like(leaf) if own_part is None else own_part
        for leaf, own_part in zip(leaves, found, strict=True)
    )
    parts = []
    for tile, mine in tiles(rows, own):
        offset = tile - moments.origin - moments.centres[mine]
        bent = (offset @ across * offset).sum(1) * moments.shares[mine]
        parts.append((offset * towards[mine]).sum(1) + along[mine] * offset.square().sum(1) + bent)
    change = torch.cat(parts).cpu().numpy()
    classes, sizes = own.cpu().numpy(), moments.sizes.cpu().numpy()
    change -= (np.bincount(classes, weights=change) / sizes)[classes]
    squares = np.bincount(classes, weights=np.square(change))
    variance = float((squares / (sizes * np.maximum(1, sizes - 1))).sum())
    return variance**0.5 if np.isfinite(variance) else None


def normal_limits(
    value: float, error: float, low: float, high: float, method: str = METHOD, level: float = 0.95
) -> Interval:
    """value -+ z error, cut at ``low`` and ``high``."""
    half = float(norm.ppf((1 + level) / 2)) * error
    return Interval(
        low=min(value, max(low, value - half)),
        high=max(value, min(high, value + half)),
        level=level,
        method=f"{method}, normal limits",
    )


def ratio_limits(value: float, error: float, method: str = METHOD, level: float = 0.95) -> Interval:
    """Limits that are normal for the logarithm of a positive ``value``."""
    factor = float(np.exp(norm.ppf((1 + level) / 2) * error / value))
    return Interval(
        low=value / factor,
        high=value * factor,
        level=level,
        method=f"{method}, normal limits of the logarithm",
    )


def checked(features: Array, labels: Array) -> tuple[Tensor, Tensor]:
    """Features (N, D) and labels (N,) as tensors on the device of the features.

    Raises ``ValueError`` for other shapes, no images, and labels that are no class indices.
    """
    rows = torch.as_tensor(features)
    own = torch.as_tensor(labels, device=rows.device)
    if rows.ndim != 2 or not rows.numel() or own.shape != rows.shape[:1]:
        raise ValueError(
            f"features are (N, D) with labels (N,), not {tuple(rows.shape)} with {tuple(own.shape)}."
        )
    if own.is_floating_point() or own.min() < 0:
        raise ValueError("labels are integers from 0.")
    return rows, own.long()


def tiles(rows: Tensor, own: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Features in float64 and labels, piece by piece."""
    most = max(1, _HELD // (8 * rows.shape[1]))
    for start in range(0, len(rows), most):
        yield rows[start : start + most].double(), own[start : start + most]


def one_hot(own: Tensor, classes: int) -> Tensor:
    """(n, K) float64. Sums as products with it come out equal on every run, on a GPU too."""
    return torch.nn.functional.one_hot(own, classes).double()

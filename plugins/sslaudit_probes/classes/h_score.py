"""H-score: how much of the variance of features, whitened, lies between classes.

With fewer images than dimensions the total covariance S is singular, and its inverse or pseudo-inverse
gives K - 1, the best there is, for any features. Shrinkage towards a multiple of the identity keeps that
from happening. But near-isotropic features need no shrinkage, and then its best amount is anything up to
1: whitened features, and classes that are the corners of a regular simplex, may score 0.
"""

from dataclasses import dataclass

import numpy as np
import torch

from sslaudit_probes.classes.moments import ROUNDING, Array, checked, class_moments, tiles

_GROUPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HScore:
    """(1 - a) tr(S_a^-1 S_b), in [0, K - 1]."""

    value: float
    shrinkage: float
    """a in [0, 1]."""


def h_score(features: Array, labels: Array, shrinkage: float | None = None) -> HScore | None:
    """H-score of features (N, D) with labels (N,) in 0..K-1; None for constant features.

    S_a = (1 - a) S + a (tr S / D) I with the covariance S over N, and S_b the covariance of the class
    means, weighted by class sizes. ``shrinkage`` is a, left out that of Ledoit and Wolf. a = 0 is the
    score of Bao et al., by the pseudo-inverse where S is singular. Computed on the device of the features.
    Raises ``ValueError`` for a shrinkage outside [0, 1], and as ``class_moments`` does.
    Source: Bao et al., ICIP 2019; with shrinkage: Ibrahim et al., 2021, regularised H-score.
    """
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage is in [0, 1], not {shrinkage}.")
    moments = class_moments(features, labels, balanced=False)
    if moments.constant:
        return None
    a = ledoit_wolf_shrinkage(features) if shrinkage is None else shrinkage
    offsets, shares = moments.offsets, moments.shares
    total = moments.scatter + (offsets * shares[:, None]).T @ offsets
    shrunk = (1 - a) * total
    shrunk.diagonal().add_(a * total.trace() / len(total))
    inverse = torch.linalg.pinv(shrunk, rtol=ROUNDING, hermitian=True)
    ratio = (1 - a) * ((offsets @ inverse * offsets).sum(1) * shares).sum()
    return HScore(value=float(ratio), shrinkage=a)


def h_score_error(features: Array, labels: Array, rng: np.random.Generator) -> float | None:
    """Standard error of ``h_score(features, labels)``, the choice of its shrinkage included.

    By the jackknife that leaves out one of 20 random groups of images. None for fewer than 40 images,
    and where features without a group are constant.
    Source: Shao and Wu, Annals of Statistics 1989, the delete-d jackknife over disjoint groups.
    """
    rows, own = checked(features, labels)
    if len(rows) < 2 * _GROUPS:
        return None
    group = torch.from_numpy(rng.permutation(len(rows)) % _GROUPS).to(rows.device)
    values = []
    for left in range(_GROUPS):
        _, rest = torch.unique(own[group != left], return_inverse=True)
        if (found := h_score(rows[group != left], rest)) is None:
            return None
        values.append(found.value)
    return float(np.sqrt((_GROUPS - 1) * np.var(values)))


def ledoit_wolf_shrinkage(features: Array) -> float:
    """The a in [0, 1] for which (1 - a) S + a (tr S / D) I is nearest to the true covariance.

    Of features (N, D), on their device, with S over N; 0 for D = 1, where it changes nothing, and for
    features without spread.
    Source: Ledoit and Wolf, Journal of Multivariate Analysis 2004, as scikit-learn computes it.
    """
    rows, none = checked(features, torch.zeros(len(features), dtype=torch.int64))
    n, D = rows.shape
    first = rows[0].double()
    mean = torch.stack([(tile - first).sum(0) for tile, _ in tiles(rows, none)]).sum(0) / n
    S, fourth = torch.zeros(D, D, dtype=torch.float64, device=rows.device), 0.0
    for tile, _ in tiles(rows, none):
        offset = tile - first - mean
        S += offset.T @ offset / n
        fourth += float(offset.square().sum(1).square().sum())
    square = float(S.square().sum())
    away = square - float(S.trace()) ** 2 / D
    noise = min((fourth / n - square) / n, away)
    return max(0.0, noise / away) if away > ROUNDING * square else 0.0

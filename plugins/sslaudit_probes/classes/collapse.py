"""Neural collapse: how near the classes are to single points at the corners of a regular simplex.

Formulas differ between papers where classes differ in size. Here each class counts alike: the global mean
is the mean of the class means, and scatters are means over classes. Covariances are over n_k, as in the
source, so NC1 is too small from few images: S_W lacks a part 1/n_k, and S_B has the noise of the means.

S_B has rank K - 1 at most, so it is singular in more dimensions and takes the pseudo-inverse: spread in
directions in which the class means do not differ does not count in NC1. It counts in CDNV.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sslaudit_probes.classes.moments import ROUNDING, Array, Moments, Statistic, class_moments, tiles

_TIE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralCollapse:
    """The numbers of Papyan et al.; 0 is full collapse. None where class means coincide."""

    nc1: float | None
    """tr(S_W S_B^+) / K."""
    equinorm: float | None
    """NC2: standard deviation over mean of the lengths of the centred class means."""
    angle_std: float | None
    """NC2: standard deviation of their cosines, over pairs of classes."""
    angle_gap: float | None
    """NC2: mean of |cos + 1 / (K - 1)| over pairs of classes."""
    cdnv: float | None
    """Mean over pairs of classes of (v_k + v_l) / (2 ||mu_k - mu_l||^2), with v = tr Cov."""
    rank: int
    """Of S_B."""


def neural_collapse(features: Array, labels: Array) -> NeuralCollapse:
    """NC1, NC2 and CDNV of features (N, D) with labels (N,) in 0..K-1.

    With the class means mu_k, their mean mu_G and M = mu_k - mu_G: S_B = M'M / K, S_W is the mean of the
    K covariances. Computed on the device of the features. Raises ``ValueError`` for one class, and as
    ``class_moments`` does.
    Source: Papyan, Han and Donoho, PNAS 2020; CDNV: Galanti, Gyorgy and Hutter, ICLR 2022.
    """
    return collapse_of(class_moments(features, labels, balanced=True))


def self_duality(weights: Array, centres: Array) -> float | None:
    """NC3: ||W / |W| - M / |M| ||_F^2 of classifier rows (K, D) and class means (K, D), in [0, 4].

    M are the means less their mean. None where W or M is 0. Raises ``ValueError`` for other shapes.
    Source: Papyan, Han and Donoho, PNAS 2020.
    """
    W = torch.as_tensor(weights).double()
    means = torch.as_tensor(centres, device=W.device).double()
    if W.ndim != 2 or W.shape != means.shape:
        raise ValueError(f"W and class means are (K, D), not {tuple(W.shape)} and {tuple(means.shape)}.")
    M = means - means.mean(0)
    if not W.any() or M.square().sum() <= ROUNDING * means.square().sum():
        return None
    return float((W / W.norm() - M / M.norm()).square().sum())


def disagreements(logits: Array, features: Array, centres: Array) -> np.ndarray:
    """NC4: whether argmax of the logits (N, K) is another class than the nearest centre: (N,) bool.

    ``features`` (N, D), ``centres`` (K, D). Scores within 1e-9 of the best, on the scale of the features,
    tie; ties go to the lowest class index. Raises ``ValueError`` for shapes that do not fit.
    Source: Papyan, Han and Donoho, PNAS 2020.
    """
    rows = torch.as_tensor(features)
    means = torch.as_tensor(centres, device=rows.device).double()
    scores = torch.as_tensor(logits, device=rows.device).double()
    if rows.ndim != 2 or means.shape[1:] != rows.shape[1:] or scores.shape != (len(rows), len(means)):
        raise ValueError("features are (N, D), centres (K, D) and logits (N, K).")
    middle = means.mean(0)
    towards = means - middle
    tied = _TIE * float(towards.square().sum(1).max())
    nearest = [
        _first_best((tile - middle) @ towards.T - towards.square().sum(1) / 2, tied)
        for tile, _ in tiles(rows, torch.arange(len(rows), device=rows.device))
    ]
    apart: np.ndarray = (torch.cat(nearest) != _first_best(scores, _TIE)).cpu().numpy()
    return apart


def statistics(moments: Moments) -> dict[str, Statistic]:
    """The numbers of ``NeuralCollapse`` as functions that have a gradient; they share what is rounding."""
    return {
        "nc1": partial(_nc1, _rounding(moments)),
        "equinorm": _equinorm,
        "angle_std": _angle_std,
        "angle_gap": _angle_gap,
        "cdnv": _cdnv,
    }


def collapse_of(moments: Moments) -> NeuralCollapse:
    """As ``neural_collapse``, of moments in which classes count alike."""
    if len(moments.sizes) < 2:
        raise ValueError("neural collapse takes two classes.")
    floor = ROUNDING * moments.energy
    lengths = moments.offsets.square().sum(1)
    apart, straight = bool(lengths.mean() > floor), bool(lengths.min() > floor)
    defined = {
        "nc1": apart,
        "equinorm": apart,
        "angle_std": straight,
        "angle_gap": straight,
        "cdnv": bool(torch.pdist(moments.centres).square().min() > floor),
    }
    parts = moments.centres, moments.scatter, moments.variances
    return NeuralCollapse(
        rank=int((torch.linalg.svdvals(moments.offsets) > _rounding(moments)).sum()),
        **{
            name: float(statistic(*parts)) if defined[name] else None
            for name, statistic in statistics(moments).items()
        },
    )


def cosines(offsets: Tensor) -> Tensor:
    """Of centred class means (K, D): (K, K)."""
    smallest = torch.finfo(offsets.dtype).tiny  # the default, 1e-12, would shorten means of small features
    unit: Tensor = torch.nn.functional.normalize(offsets, dim=1, eps=smallest)
    return unit @ unit.T


def _nc1(rounding: float, centres: Tensor, scatter: Tensor, variances: Tensor) -> Tensor:
    # S_B^+ = K M^+ (M^+)', which takes a pseudo-inverse of (K, D) instead of (D, D).
    inverse: Tensor = torch.linalg.pinv(centres - centres.mean(0), atol=rounding, rtol=0.0)
    return (scatter @ inverse * inverse).sum()


def _rounding(moments: Moments) -> float:
    """Singular values of the centred class means (K, D) that are no larger are rounding."""
    return float((ROUNDING * len(moments.sizes) * moments.energy) ** 0.5)


def _equinorm(centres: Tensor, scatter: Tensor, variances: Tensor) -> Tensor:
    lengths = (centres - centres.mean(0)).norm(dim=1)
    variation: Tensor = lengths.std(correction=0) / lengths.mean()
    return variation


def _pairs(centres: Tensor) -> Tensor:
    first, second = _above(centres)
    return cosines(centres - centres.mean(0))[first, second]


def _above(centres: Tensor) -> Tensor:
    """Pairs of classes, (2, K (K - 1) / 2), in the order of ``torch.pdist``."""
    return torch.triu_indices(len(centres), len(centres), 1, device=centres.device)


def _angle_std(centres: Tensor, scatter: Tensor, variances: Tensor) -> Tensor:
    return _pairs(centres).std(correction=0)


def _angle_gap(centres: Tensor, scatter: Tensor, variances: Tensor) -> Tensor:
    return (_pairs(centres) + 1 / (len(centres) - 1)).abs().mean()


def _cdnv(centres: Tensor, scatter: Tensor, variances: Tensor) -> Tensor:
    first, second = _above(centres)
    squares = torch.pdist(centres).square()
    return ((variances[first] + variances[second]) / (2 * squares)).mean()


def _first_best(scores: Tensor, tied: float) -> Tensor:
    return (scores >= scores.max(1, keepdim=True).values - tied).int().argmax(1)

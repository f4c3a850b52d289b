"""How alike two encoders see the same images: linear CKA, debiased, and mutual nearest neighbours.

Plain CKA is far above 0 for independent features in many dimensions, and 1 for any two that have as many
dimensions as there are images. The debiased one is centred at 0 and may fall below.

Neighbours are by cosine. A tie at the k-th place, as duplicates and a collapsed encoder make, is not
decided by the order of the images: those that tie share the places that are left.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import norm
from torch import Tensor

from sslaudit.results import Interval
from sslaudit_theory.independence.dependence import effect_of
from sslaudit_theory.independence.strata import Stratum

Array = np.ndarray | Tensor

_CONSTANT = 1e-12
"""A variance below this share of the mean square of its column is rounding of single-precision features."""
_METHOD = "delete-one jackknife over images, normal limits"
_TIE = 1e-9
_HELD = 2**22
"""Cosines that are in memory at one time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """How alike two encoders are, 1 for the same."""

    value: float | None
    reason: str = ""
    """Why there is no value."""
    interval: Interval | None = None
    """None beside no value, and where leaving out one image would leave none."""
    chance: float
    """What unrelated encoders have."""


def linear_cka(f: Array, g: Array) -> float | None:
    """||F'G||_F^2 / (||F'F||_F ||G'G||_F) of centred F (n, D1) and G (n, D2); None for constant features.

    In [0, 1], the same under rotations and one common scale. Computed on the device of ``f``. Raises
    ``ValueError`` for features of different images, or that are not finite.
    Source: Kornblith et al., ICML 2019, linear CKA.
    """
    F, G = _pair(f, g)
    F, G = _centred(F), _centred(G)
    if not F.any() or not G.any():
        return None
    n, wide, narrow = len(F), F.shape[1], G.shape[1]
    if max(wide, narrow) <= n:
        cross, own, other = F.T @ G, F.T @ F, G.T @ G
        return float(cross.square().sum() / (own.norm() * other.norm()))
    own, other = F @ F.T, G @ G.T
    return float((own * other).sum() / (own.norm() * other.norm()))


def debiased_linear_cka(f: Array, g: Array) -> Similarity:
    """Linear CKA from unbiased squared covariances of f (n, D1) and g (n, D2), with a jackknife interval.

    In [-1, 1], 0 on average for unrelated encoders. It is computed in float64 in main memory, wherever
    the features lie. Raises ``ValueError`` for fewer than 5 images, and as ``linear_cka`` does.
    Source: Kornblith et al., ICML 2019, with the estimator of Song et al., JMLR 2012; the interval as in
    ``sslaudit_theory.effect_of``.
    """
    F, G = _pair(f, g)
    if len(F) < 5:
        raise ValueError(f"debiased CKA and its jackknife take 5 images, not {len(F)}.")
    F, G = _centred(F), _centred(G)
    stratum = Stratum(label=0, f=F.cpu().numpy(), z=G.cpu().numpy(), weight=1.0)
    effect = effect_of([stratum])
    constant = stratum.constant.replace("z", "g") or "f or g"
    return Similarity(
        value=effect.rho2,
        reason="" if effect.rho2 is not None else f"constant features: {constant}",
        interval=effect.interval and replace(effect.interval, method=_METHOD),
        chance=0.0,
    )


def mutual_knn(f: Array, g: Array, k: int, level: float = 0.95) -> Similarity:
    """Share of the k nearest neighbours that are the same in f (n, D1) and g (n, D2), mean over images.

    Neighbours are by cosine, in float64 tiles on the device of ``f``; cosines within 1e-9 of the k-th tie
    and share the places left, and the overlap is the sum of the smaller share. Chance is k / (n - 1).
    The interval is by the jackknife, in which a left out image is replaced by the next neighbour; it errs
    on the wide side. Raises ``ValueError`` for k outside 1..n-2, zero rows, and as ``linear_cka`` does.
    Source: Huh et al., ICML 2024, mutual nearest-neighbour metric.
    """
    F, G = _pair(f, g)
    n = len(F)
    if not 1 <= k <= n - 2:
        raise ValueError(f"k is in 1..n-2, not {k} of {n} images.")
    overlap = torch.empty(n, dtype=torch.float64, device=F.device)
    gained = torch.zeros(n, dtype=torch.int64, device=F.device)
    alike = torch.empty(n, dtype=torch.int64, device=F.device)
    units = _unit(F), _unit(G)
    step = max(1, _HELD // n)
    for start in range(0, n, step):
        rows = slice(start, min(n, start + step))
        cosines = [_others(unit, rows) for unit in units]
        nearest = [each.topk(k + 1, dim=1) for each in cosines]
        _leave_out(nearest[0].indices, nearest[1].indices, alike[rows], gained)
        overlap[rows] = alike[rows].double() / k
        tied = torch.stack([top.values[:, k - 1] - top.values[:, k] <= _TIE for top in nearest]).any(0)
        if tied.any():
            shares = [_shares(each[tied], k) for each in cosines]
            overlap[rows.start + torch.nonzero(tied)[:, 0]] = torch.minimum(*shares).sum(1) / k
    value = min(1.0, float(overlap.mean()))
    # Without image i: the overlaps of the others, and what they gain and lose by its leaving.
    without = (alike.sum() - alike + gained).cpu().numpy() / (k * (n - 1))
    error = float(np.sqrt((n - 1) / n * np.square(without - without.mean()).sum()))
    half = float(norm.ppf((1 + level) / 2)) * error
    interval = Interval(
        low=max(0.0, value - half),
        high=min(1.0, value + half),
        level=level,
        method=_METHOD,
    )
    return Similarity(value=value, interval=interval, chance=k / (n - 1))


def _leave_out(first: Tensor, second: Tensor, alike: Tensor, gained: Tensor) -> None:
    """Neighbours (b, k + 1) of a tile, nearest first: common ones of the first k, and what leaving changes.

    ``alike`` (b,) gets the number of common ones; to ``gained`` (n,) is added, for each image, by how much
    that number grows where it is a neighbour and leaves, so that the last one moves up.
    """
    same = first[:, :, None] == second[:, None, :]
    common = same[:, :-1, :-1]
    alike.copy_(common.sum((1, 2)))
    moved_up = same[:, -1, :-1].any(1)[:, None]  # the next of the first is among the second's
    moved_in = same[:, :-1, -1].any(1)[:, None]
    both = same[:, -1, -1][:, None]
    in_both = common.any(2)
    in_second = common.any(1)
    lost = moved_up.long() + moved_in + both - 1
    gained.index_add_(0, first[:, :-1].flatten(), torch.where(in_both, lost, moved_up.long()).flatten())
    alone = torch.where(in_second, 0, moved_in.long())
    gained.index_add_(0, second[:, :-1].flatten(), alone.flatten())


def _others(unit: Tensor, rows: slice) -> Tensor:
    """Cosines (b, n) of some images with all, -2 with themselves."""
    cosines = unit[rows] @ unit.T
    places = torch.arange(rows.start, rows.stop, device=unit.device)
    cosines[torch.arange(len(places), device=unit.device), places] = -2.0
    return cosines


def _shares(cosines: Tensor, k: int) -> Tensor:
    """How much of a place each image (b, n) has among the k nearest."""
    last = cosines.topk(k, dim=1).values[:, -1:]
    above = cosines > last + _TIE
    tied = (cosines >= last - _TIE) & ~above
    left = (k - above.sum(1, keepdim=True)).double() / tied.sum(1, keepdim=True)
    shares: Tensor = above.double() + tied * left
    return shares


def _unit(features: Tensor) -> Tensor:
    rows = features.double()
    lengths = rows.norm(dim=1, keepdim=True)
    if not lengths.all():
        raise ValueError("a zero row has no direction and no neighbours by cosine.")
    unit: Tensor = rows / lengths
    return unit


def _centred(features: Tensor) -> Tensor:
    """Less the mean, float64; columns that are constant but for rounding are exactly 0."""
    rows = features.double()
    scale = _mean_squares(rows)
    rows = rows - rows[0]
    rows -= rows.mean(0)
    rows[:, _mean_squares(rows) <= _CONSTANT * scale] = 0.0
    return rows


def _mean_squares(rows: Tensor) -> Tensor:
    """Of the columns (D,)."""
    return torch.einsum("nd,nd->d", rows, rows) / len(rows)


def _pair(f: Array | ArrayLike, g: Array | ArrayLike) -> tuple[Tensor, Tensor]:
    F = torch.as_tensor(f)
    G = torch.as_tensor(g, device=F.device)
    if F.ndim != 2 or G.ndim != 2 or len(F) != len(G) or not F.numel() or not G.numel():
        raise ValueError(f"features are (n, D1) and (n, D2), not {tuple(F.shape)} and {tuple(G.shape)}.")
    if not (F.isfinite().all() and G.isfinite().all()):
        raise ValueError("the features are not all finite.")
    return F, G

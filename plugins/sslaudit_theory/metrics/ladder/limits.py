"""The rungs that are certificates: every number on its safe side, all of them at once.

Nothing is chosen and estimated on the same images: the parts of the classes and eps come from the training
images, all limits from the test images, which must be unknown to the encoder too. So also the centres:
with t the centre of n test images, ||mu - t|| is at most e (``centre_radius``), and the training centre m,
with which the classifier works, is within ||m - t|| + e of mu. The condition is asked of both.
"""

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.stats import clopper_pearson
from sslaudit_theory.certificates.conditions import beta_shares, certified_mass
from sslaudit_theory.certificates.lipschitz import certified_lipschitz
from sslaudit_theory.certificates.verdicts import ROUNDING, Shares, certificate, rows_met
from sslaudit_theory.classes.centres import centre_radius
from sslaudit_theory.metrics.ladder.inputs import Measured
from sslaudit_theory.metrics.ladder.rungs import SHARP, Rung
from sslaudit_theory.metrics.ladder.sets import GoodSets
from sslaudit_theory.sigma.splits import Concentration

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

LEVEL = 0.95
"""Of all limits of one certificate together."""
_QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""Values of eps that are tried where no part of a class is fixed, as quantiles of the training images."""


def certified(measured: Measured, sets: GoodSets) -> Rung:
    """The feature-space condition with beta, of fixed parts whose good images are counted.

    Limits: the share of good images of each class, the centre of each class, the good images of each
    class among all, and those of all classes together; 3 K + 1, by Bonferroni.
    """
    p, tested = measured.chosen.p, sets.tested
    K, n = len(p), int(tested.sum())
    alpha = (1 - LEVEL) / (3 * K + 1)
    counts = list(zip(sets.good.tolist(), tested.tolist(), strict=True))
    q = np.array([_lower(good, size, alpha) for good, size in counts])
    of_all = np.array([_lower(good, n, alpha) for good, _ in counts])
    # What q loses to its limit counts as not concentrated.
    sigma, R = q + (sets.near - sets.good) / tested, (sets.near - sets.good) / tested
    shares = tuple(
        beta_shares(min(1.0, s), d, e, R_l, 1.0, measured.r, q=own)
        for s, d, e, R_l, own in zip(sigma, sets.delta, sets.eps, R, q, strict=True)
    )
    distances = _certain_distances(measured, measured.r, alpha)
    margins = _margins(distances, shares, measured.r)
    together = _lower(int(sets.good.sum()), n, alpha)
    rows = rows_met(margins)
    return Rung(
        certificate=certificate(
            margins,
            measured.distances <= ROUNDING * measured.r,
            shares,
            mass=together if rows.all() else min(together, float(of_all[rows].sum())),
            bound=1 - together,
            p=p,
            limits=True,
        ),
        forms=(SHARP,) * K,
        eps=sets.eps,
        delta=sets.delta,
        sigma=np.minimum(1.0, sigma),
        R=measured.above(sets.eps),
        q=q,
        overlap=measured.overlap,
        distances=distances,
        r=measured.r,
    )


def certified_l(measured: Measured, found: Concentration, L: float, r: float) -> Rung:
    """The condition with beta in pixel space, with an upper limit L, and r that no feature exceeds.

    sigma is the lower limit of the star of each class, R_eps its upper limit, each at all deltas and all
    values of eps at once, so that the best may be taken.
    """
    chosen, p = measured.chosen, measured.chosen.p
    K, M = len(p), len(found.deltas)
    events = K * (M + len(_QUANTILES) + 2)
    alpha = (1 - LEVEL) / events
    picked: list[tuple[float, float, float, float, float, Shares]] = []
    for k in range(K):
        own = chosen.labels == k
        sup = measured.sup[own & chosen.test]
        sigmas = [_lower(int(count), int(found.n_test[k]), alpha) for count in found.star_count[k]]
        options = []
        for eps in np.quantile(measured.sup[own & ~chosen.test], _QUANTILES, method="inverted_cdf").tolist():
            R = clopper_pearson(int((sup > eps).sum()), len(sup), 1 - alpha, side="upper").high
            for sigma, delta in zip(sigmas, found.deltas.tolist(), strict=True):
                shares = beta_shares(sigma, delta, eps, R, L, r)
                options.append((eps, delta, sigma, R, max(0.0, sigma - R), shares))
        picked.append(min(options, key=lambda option: option[-1].total))
    eps_, delta_, sigma_, R_, q = (np.array([option[i] for option in picked]) for i in range(5))
    all_shares = tuple(option[5] for option in picked)
    distances = _certain_distances(measured, r, alpha)
    margins = _margins(distances, all_shares, r)
    sizes = np.bincount(chosen.labels)
    least = np.array([_lower(int(size), len(chosen.labels), alpha) for size in sizes])
    return Rung(
        certificate=certificate(
            margins,
            measured.distances <= ROUNDING * r,
            all_shares,
            # The limits of the probabilities may not add up to 1; what they lack is not certified.
            mass=certified_mass(p, np.minimum(1.0, q * least / p), rows_met(margins)),
            bound=float(1 - max(least @ q, q.min())),
            p=p,
            limits=True,
        ),
        forms=(SHARP,) * K,
        eps=eps_,
        delta=delta_,
        sigma=sigma_,
        R=R_,
        q=q,
        overlap=measured.overlap,
        distances=distances,
        r=r,
        L=L,
    )


def certified_constant(inputs: "MetricInputs", measured: Measured) -> tuple[float, float] | str:
    """L and a radius that no feature exceeds, for pixels in [0, 1]; a sentence where there is none."""
    if measured.chosen.normed.norm != "as-is":
        return "no finite L is known for features that are divided by their norm (norm=as-is has one, if any)"
    encoder = inputs.encoder
    if (
        inputs.spec.needs.space == "projection"
        or encoder.module is None
        or encoder.embed is not encoder.module
    ):
        return "no finite certified L: the layers that made these features are not known one by one"
    shape = tuple(inputs.pixel_views.head(1).shape[2:])
    L, said = certified_lipschitz(encoder.module, encoder.preprocess.std, input_shape=(3, shape[1], shape[2]))
    if L is None:
        return said
    shortest = min(float(np.linalg.norm(views, axis=2).min()) for _, views in measured.chosen.chunks())
    return L, shortest + L * math.sqrt(math.prod(shape))


@lru_cache(maxsize=4096)
def _lower(count: int, n: int, alpha: float) -> float:
    return clopper_pearson(count, n, 1 - alpha, side="lower").low


def _margins(distances: np.ndarray, shares: tuple[Shares, ...], r: float) -> np.ndarray:
    margins: np.ndarray = distances / r - 2 * np.array([[share.total] for share in shares])
    return margins


def _certain_distances(measured: Measured, r: float, alpha: float) -> np.ndarray:
    """(K, K): distances of centres, less what both the training and the true ones may be off."""
    chosen = measured.chosen
    off = np.linalg.norm(measured.centres - measured.test_centres, axis=1) + [
        _radius(int(n), r, float(np.linalg.norm(centre)), alpha)
        for n, centre in zip(chosen.sizes(chosen.test), measured.test_centres, strict=True)
    ]
    certain: np.ndarray = measured.distances - 2 * np.maximum(off[:, None], off)
    return certain


def _radius(n: int, r: float, length: float, alpha: float) -> float:
    """How far the measured centre is off, with what that says of its true length put in again."""
    error = centre_radius(n, r, 0.0, alpha)
    for _ in range(8):
        error = min(error, centre_radius(n, r, min(r, max(0.0, length - error)) ** 2, alpha))
    return error

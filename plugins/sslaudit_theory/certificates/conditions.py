"""Theorem 1: when well aligned views, concentrated classes and far centres bound the error.

The theorem speaks of the nearest-centre classifier G(x) = argmin_k ||f(x) - mu_k|| with mu_k the mean
of f over all views of class k, ||f|| = r. Of class l a part C_l^0 of probability sigma p_l has augmented
distances of at most delta; R_eps is the probability of an image with views farther apart than eps. An
image is *good* when it is in its C_l^0 and its views are within eps. With

    rho = 2 (1 - sigma) + R_eps / min_l p_l + sigma (L delta + 2 eps) / r,
    Delta = 1 - min_k ||mu_k||^2 / r^2,

mu_l . mu_k < r^2 (1 - rho - sqrt(2 rho) - Delta / 2) for all pairs gives Err <= (1 - sigma) + R_eps.

What is true of it:

(a) The published argument passes through f(x) . mu_l >= r^2 (1 - rho_l) for good x. That inequality is
    false: a class of four images, one of which has three of its four views at -mu, has 0.625 where
    1 - rho_l is 0.75. What holds is ||f(x) - mu_l|| <= r beta_l and f(x) . mu_l >= r^2 (1 - beta_l) with

        beta_l = q min(D / r, 2) + 2 (1 - q),  D = L delta + 2 eps,  q = P[good | l] >= sigma - R_eps / p_l:

    misaligned images count with 2 - D / r, not with 1. So 1 - rho is never a cosine to the centre.
(b) The theorem itself is true all the same. Let u = ||f(x) - mu_l|| / r for a good x. Under the condition x
    is classified right once u <= sqrt(2 rho), and u <= beta_l <= 2 rho <= sqrt(2 rho) for rho <= 1/2. Beyond
    that, u > x = sqrt(2 rho) would leave ||mu_l||^2 <= r^2 (1 - x (2 - x^2) (2 - x)), while the condition
    asks for r^2 (1 + ||mu_l|| / r)^2 > r^2 ((1 + x)^2 - 1). The two exclude each other up to rho = 0.764,
    and no centres meet the condition beyond, since mu_l . mu_k >= -r^2.
(c) ||mu_l - mu_k|| > 2 r beta_l for all k != l suffices too, by the triangle inequality: no Delta, no square
    root, and only ||f|| <= r. Orthogonal centres on the sphere need beta < 0.707 there and rho < 0.268 in
    the printed form. Neither form contains the other, so a class is certified by either.
(d) A class that meets its own row of a condition is certified whatever the others do, with its own sigma_l,
    its own eps and delta, and R_eps among its own images instead of R_eps / p_l. Then
    Err <= sum over certified l of p_l (1 - q_l) + sum over the others of p_l.
(e) L enters once, for the closest pair of views. The augmented distance in feature space,
    kappa(x, y) = min over views ||f(x') - f(y')||, puts kappa for L delta: no Lipschitz constant, any kind
    of data, and a minimum over drawn views errs on the safe side. Here that is L = 1 and delta = kappa.
(f) Features whose cross-correlation is exactly the identity, the ideal of Barlow Twins, have
    sum_k p_k ||mu_k||^2 <= K - 1 on r^2 = d, so Delta >= 1 - (K - 1) / d and
    beta >= 1 - sqrt((K - 1) / d), .867 for d = 512 and K = 10. With d much larger than K they can never
    meet the condition: whitened features and collapsed classes exclude each other.
"""

import numpy as np
from numpy.typing import ArrayLike

from sslaudit_theory.certificates.verdicts import ROUNDING, Certificate, Shares, certificate, rows_met

MAX_RHO = 3 - 5**0.5
"""No centres meet the printed condition from 0.764 on, where rho + sqrt(2 rho) = 2."""


def rho_max(
    sigma: float, delta: float, eps: float, R: float, p_min: float, L: float = 1.0, r: float = 1.0
) -> Shares:
    """rho of Theorem 1, by its four shares.

    ``R`` is R_eps over all images, ``p_min`` the probability of the rarest class, L the Lipschitz constant
    for distances in the unit of ``delta`` (1 when ``delta`` is a distance of features). Raises
    ``ValueError`` for what no encoder can have.
    Source: Huang et al., ICLR 2023, Theorem 1.
    """
    _check(sigma=sigma, delta=delta, eps=eps, R=R, L=L, r=r)
    if not 0 < p_min <= 1:
        raise ValueError(f"the probability of a class is in (0, 1], not {p_min}.")
    return Shares(*(float(term) for term in rho_terms(sigma, delta, eps, R / p_min, L, r)))


def rho_of_class(
    sigma: float,
    delta: float,
    eps: float,
    R: float,
    L: float = 1.0,
    r: float = 1.0,
    *,
    p: float | None = None,
) -> Shares:
    """rho_l of one class.

    ``R`` is R_eps among the images of the class, or over all images when ``p``, the probability of the
    class, is given; the former is never larger than the latter over p. Raises ``ValueError`` as ``rho_max``.
    Source: Huang et al., ICLR 2023, Lemma 3.2.
    """
    return rho_max(sigma, delta, eps, R, 1.0 if p is None else p, L, r)


def rho_terms(
    sigma: ArrayLike, delta: ArrayLike, eps: ArrayLike, misaligned: ArrayLike, L: float, r: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The summands of rho for arrays that broadcast; ``misaligned`` is R_eps / p."""
    sigma, delta, eps = (np.asarray(given, dtype=np.float64) for given in (sigma, delta, eps))
    terms = np.broadcast_arrays(2 * (1 - sigma), misaligned, sigma * (L * delta) / r, 2 * sigma * eps / r)
    return terms[0], terms[1], terms[2], terms[3]


def threshold(rho: float | Shares, delta_mu: float) -> float:
    """1 - rho - sqrt(2 rho) - Delta_mu / 2: what mu_l . mu_k / r^2 must stay below.

    Raises ``ValueError`` for a negative rho, or a Delta_mu that no centres have.
    Source: Huang et al., ICLR 2023, Theorem 1.
    """
    rho = float(rho)
    if not 0 <= rho < np.inf:
        raise ValueError(f"rho is finite and not negative, not {rho}.")
    _check_delta_mu(delta_mu)
    return float(thresholds(np.float64(rho), delta_mu))


def thresholds(rho: np.ndarray | np.float64, delta_mu: float) -> np.ndarray:
    """``threshold`` of every rho of an array."""
    limit: np.ndarray = 1 - rho - np.sqrt(2 * rho) - delta_mu / 2
    return limit


def rho_star(max_overlap: float, delta_mu: float) -> float:
    """The budget: the condition holds for these centres exactly when rho is below it.

    ``max_overlap`` is max mu_l . mu_k / r^2. 0 when the centres are too close for every augmentation;
    never above 3 - sqrt(5) = 0.764. Raises ``ValueError`` for an overlap outside [-1, 1].
    Source: sslaudit; the root of ``threshold`` in sqrt(rho).
    """
    _check_overlap(np.asarray(max_overlap))
    _check_delta_mu(delta_mu)
    room = 1 - delta_mu / 2 - max_overlap
    if room <= ROUNDING:
        return 0.0
    # (sqrt(1 + 2 c) - 1) / sqrt(2), written without the difference that loses the digits of a small c.
    root = np.sqrt(2) * room / (np.sqrt(1 + 2 * room) + 1)
    return min(MAX_RHO, float(root**2))


def error_bound(sigma: float, R: float) -> float:
    """(1 - sigma) + R_eps, what Theorem 1 bounds the error by where its condition is met.

    Source: Huang et al., ICLR 2023, Theorem 1 and Lemma 3.1.
    """
    _check(sigma=sigma, R=R)
    return (1 - sigma) + R


def good_mass(sigma: ArrayLike, R: ArrayLike) -> np.ndarray:
    """Lower bound of q_l = P[good | l] of each class, sigma_l - R_l, and 0 where that is negative.

    ``R`` is R_eps among the images of the class, or R_eps / p_l.
    Source: sslaudit; the union bound.
    """
    sigma, R = np.asarray(sigma, dtype=np.float64), np.asarray(R, dtype=np.float64)
    if not ((sigma >= 0) & (sigma <= 1) & (R >= 0)).all():
        raise ValueError("sigma is in [0, 1] and R not negative.")
    mass: np.ndarray = np.maximum(0.0, sigma - R)
    return mass


def beta(q: ArrayLike, D: ArrayLike, r: float = 1.0) -> np.ndarray:
    """q min(D / r, 2) + 2 (1 - q): good images lie within r beta of their class centre.

    ``q`` is at most the probability of good images in the class, D = L delta + 2 eps (or kappa + 2 eps).
    Needs ||f|| <= r only. Raises ``ValueError`` for q outside [0, 1] or a negative D.
    Source: sslaudit, own derivation, checked numerically; remark (a).
    """
    q, D = np.asarray(q, dtype=np.float64), np.asarray(D, dtype=np.float64)
    if not ((q >= 0) & (q <= 1) & (D >= 0)).all() or not 0 < r < np.inf:
        raise ValueError("q is in [0, 1], D not negative and r positive.")
    limit: np.ndarray = q * np.minimum(D / r, 2) + 2 * (1 - q)
    return limit


def beta_shares(
    sigma: float,
    delta: float,
    eps: float,
    R: float,
    L: float = 1.0,
    r: float = 1.0,
    *,
    q: float | None = None,
) -> Shares:
    """beta_l of one class, by its four shares.

    ``R`` is R_eps among the images of the class. ``q`` is the measured share of good images; without
    it sigma - R. Raises ``ValueError`` for a q that sigma and R exclude.
    Source: sslaudit, own derivation, checked numerically; remark (a).
    """
    _check(sigma=sigma, delta=delta, eps=eps, R=R, L=L, r=r)
    least = float(good_mass(sigma, R))
    q = least if q is None else q
    if not least - ROUNDING <= q <= sigma + ROUNDING:
        raise ValueError(f"q is between {least} and sigma = {sigma}, not {q}.")
    D = L * delta + 2 * eps
    near = q * min(D / r, 2.0)
    split = L * delta / D if D > 0 else 0.0
    return Shares(2 * (1 - sigma), max(0.0, 2 * (sigma - q)), near * split, near * (1 - split))


def theorem1(
    overlap: ArrayLike,
    delta_mu: float,
    p: ArrayLike,
    *,
    sigma: float,
    delta: float,
    eps: float,
    R: float,
    L: float = 1.0,
    r: float = 1.0,
    limits: bool = False,
) -> Certificate:
    """Theorem 1 as printed.

    ``overlap`` (K, K) is mu_l . mu_k / r^2 (the diagonal is not read), ``p`` (K,) the probabilities of the
    classes, ``sigma`` the smallest of the classes, ``R`` over all images. ``limits`` says that every input
    is a confidence limit on its safe side. The features must have norm r. Raises ``ValueError`` for fewer
    than two classes and for inputs that no encoder can have.
    Source: Huang et al., ICLR 2023, Theorem 1; certified mass: sslaudit, remark (d).
    """
    p = class_probabilities(p)
    overlap = _square(overlap, len(p))
    _check_overlap(overlap)
    rho = rho_max(sigma, delta, eps, R, float(p.min()), L, r)
    margins = threshold(rho.total, delta_mu) - overlap
    rows = rows_met(margins)
    return certificate(
        margins,
        1 - delta_mu / 2 - overlap <= ROUNDING,
        (rho,) * len(p),
        mass=max(0.0, float(sigma * p[rows].sum() - R)) if rows.any() else 0.0,
        bound=error_bound(sigma, R),
        p=p,
        limits=limits,
    )


def theorem1_by_class(
    overlap: ArrayLike,
    delta_mu: float,
    p: ArrayLike,
    *,
    sigma: ArrayLike,
    delta: ArrayLike,
    eps: ArrayLike,
    R: ArrayLike,
    L: float = 1.0,
    r: float = 1.0,
    limits: bool = False,
) -> Certificate:
    """The condition of Theorem 1 with rho_l of each class for its own row.

    As ``theorem1``, with ``sigma``, ``delta``, ``eps`` and ``R`` of each class (K,) or one number for
    all; ``R`` is R_eps among the images of the class.
    Source: Huang et al., ICLR 2023, Lemma 3.2; sslaudit, remarks (b) and (d).
    """
    p = class_probabilities(p)
    overlap = _square(overlap, len(p))
    _check_overlap(overlap)
    _check_delta_mu(delta_mu)
    each = _each_class(len(p), sigma, delta, eps, R)
    rhos = tuple(rho_of_class(s, d, e, R_l, L, r) for s, d, e, R_l in each.tolist())
    margins = np.array([[threshold(rho.total, delta_mu)] for rho in rhos]) - overlap
    q = good_mass(each[:, 0], each[:, 3])
    return certificate(
        margins,
        1 - delta_mu / 2 - overlap <= ROUNDING,
        rhos,
        mass=certified_mass(p, q, rows_met(margins)),
        bound=float(p @ (1 - q)),
        p=p,
        limits=limits,
    )


def theorem1_sharp(
    distances: ArrayLike,
    p: ArrayLike,
    *,
    sigma: ArrayLike,
    delta: ArrayLike,
    eps: ArrayLike,
    R: ArrayLike,
    L: float = 1.0,
    r: float = 1.0,
    q: ArrayLike | None = None,
    limits: bool = False,
) -> Certificate:
    """||mu_l - mu_k|| > 2 r beta_l: the same three factors, a condition of our own.

    ``distances`` (K, K) are those of the centres; the rest is as in ``theorem1_by_class``. ``q`` (K,) is
    the measured share of good images, sigma - R without it. Margins are in units of r. Needs ||f|| <= r only.
    Source: sslaudit, own derivation, checked numerically; remarks (c) and (d).
    """
    p = class_probabilities(p)
    distances = _square(distances, len(p))
    if not ((distances >= 0) & (distances <= 2 * r * (1 + 1e-9))).all():
        raise ValueError("distances of centres of features with ||f|| <= r are in [0, 2 r].")
    each = _each_class(len(p), sigma, delta, eps, R)
    measured = [None] * len(p) if q is None else np.broadcast_to(np.asarray(q, float), len(p)).tolist()
    betas = tuple(
        beta_shares(s, d, e, R_l, L, r, q=own)
        for (s, d, e, R_l), own in zip(each.tolist(), measured, strict=True)
    )
    margins = distances / r - 2 * np.array([[shares.total] for shares in betas])
    good = good_mass(each[:, 0], each[:, 3]) if q is None else np.array(measured)
    return certificate(
        margins,
        distances <= ROUNDING * r,
        betas,
        mass=certified_mass(p, good, rows_met(margins)),
        bound=float(p @ (1 - good)),
        p=p,
        limits=limits,
    )


def certified_mass(p: ArrayLike, q: ArrayLike, certified: ArrayLike) -> float:
    """sum over certified classes of p_l q_l: the probability of images certified to be classified right.

    Err <= 1 - mass = sum over certified l of p_l (1 - q_l) + sum over the others of p_l. A class is
    certified (K, bool) by its row of any of the conditions.
    Source: sslaudit, remark (d).
    """
    p, q = class_probabilities(p), np.asarray(q, dtype=np.float64)
    if not ((q >= 0) & (q <= 1)).all():
        raise ValueError("q is in [0, 1].")
    return min(1.0, float((p * q)[np.asarray(certified, dtype=bool)].sum()))


def class_probabilities(p: ArrayLike) -> np.ndarray:
    """``p`` (K,) as float64. Raises ``ValueError`` unless they are positive and add up to 1, K >= 2."""
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 1 or len(p) < 2:
        raise ValueError("the theorem compares classes; it needs two of them.")
    if not (p > 0).all() or abs(p.sum() - 1) > 1e-9:
        raise ValueError("the probabilities of the classes are positive and add up to 1.")
    return p


def _each_class(classes: int, *columns: ArrayLike) -> np.ndarray:
    """Columns that are numbers or (K,), as rows: (K, columns)."""
    if any(np.shape(column) not in ((), (classes,)) for column in columns):
        raise ValueError(f"sigma, delta, eps and R are numbers, or one for each of {classes} classes.")
    return np.stack([np.broadcast_to(np.asarray(column, float), (classes,)) for column in columns], axis=1)


def _square(values: ArrayLike, classes: int) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (classes, classes) or not (np.abs(values - values.T) <= 1e-9).all():
        raise ValueError(f"{classes} classes need a symmetric {classes} x {classes} matrix.")
    return values


def _check_overlap(overlap: np.ndarray) -> None:
    if not (np.abs(overlap) <= 1 + 1e-9).all():
        raise ValueError("mu_l . mu_k / r^2 is in [-1, 1].")


def _check_delta_mu(delta_mu: float) -> None:
    # An unbiased squared length of a centre can be negative, down to -1 for two images.
    if not -1e-9 <= delta_mu <= 2:
        raise ValueError(f"Delta_mu is in [0, 1], up to 2 when estimated without bias, not {delta_mu}.")


def _check(**given: float) -> None:
    for name, value in given.items():
        if name in ("sigma", "R") and not 0 <= value <= 1:
            raise ValueError(f"{name} is a probability in [0, 1], not {value}.")
        if name == "r" and not 0 < value < np.inf:
            raise ValueError(f"r is positive and finite, not {value}.")
        if not 0 <= value < np.inf:
            raise ValueError(f"{name} is finite and not negative, not {value}.")

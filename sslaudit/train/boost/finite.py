"""A linear f with small L_{inf,n0}: labels of n0 downstream samples, z in expectation.

Things to know before reading a number of it:

- With n0 <= d_f any labels are fitted, and the minimiser is the f from which z is predicted worst. What
  predicts z often predicts y: such an f can lose all of it.
- f itself is chosen on the same n0 samples. From D features an f of d_f >= k dimensions can fit any
  labels of n0 <= D samples exactly, so that labels carry little information far beyond d_f.
- The loss is not convex in f: L-BFGS can end in a minimum that is not the smallest. In 200 small worlds
  it was up to 3 per cent above the best of many starts in 6, and equal in the others.

Source: Teng et al., AISTATS 2022, the loss before Theorem 3 and its remark.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from sslaudit.train.boost.linear import PretextMoments, leading, whitener

STEPS = 500
"""Iterations from each start, at most."""
_SMALL = 2**17
"""Numbers in U up to which one thread is faster: several wait for each other longer than they work."""
_FITTED = 1e-12
"""A share of the labels below this that is left over is rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Minimum:
    """A linear f = A x and its loss."""

    weight: np.ndarray
    """A (d_f, D), with E ff' = 1 over the pretext samples."""
    label_term: float
    """(1/n0) ||Y - W f(X)||^2."""
    pretext_term: float
    """E ||z - W f||^2."""
    loss: float
    """The label term minus lambda times the pretext term."""


def minimise(
    pretext: PretextMoments,
    x_down: np.ndarray,
    y: np.ndarray,
    *,
    lam: float,
    dim: int,
    rng: np.random.Generator,
    intercept: bool = True,
    starts: int = 1,
    steps: int = STEPS,
    on_step: Callable[[int, float], None] | None = None,
) -> Minimum:
    """The f = A x with the smallest loss found on features ``x_down`` (n0, D) with labels ``y`` (n0, k).

    L-BFGS from the closed form with moments of the n0 samples and from ``starts`` random f; the best is
    kept. Where the f that is best for z alone already fits all labels, it is the minimiser. A step costs
    the same for any n0. ``on_step`` gets the number of the step and its loss. With an intercept
    ``pretext`` holds central moments. Raises ``ValueError`` when ``dim`` is above their rank.
    """
    if intercept:
        x_down, y = x_down - x_down.mean(axis=0), y - y.mean(axis=0)
    whitening = whitener(pretext.xx)
    objective = _Objective(whitening, pretext, x_down, y, lam, dim)
    blind = leading(np.zeros_like(objective.uy), objective.uz, lam=lam, dim=dim)
    if objective.terms(blind)[0] <= _FITTED * objective.yy:
        return objective.minimum(blind)
    first = leading(objective.uy, objective.uz, lam=lam, dim=dim)
    others = rng.standard_normal((starts, *first.shape))
    taken = 0

    def step(intermediate_result: object) -> None:
        nonlocal taken
        taken += 1
        if on_step is not None:
            on_step(taken, float(intermediate_result.fun))  # type: ignore[attr-defined]

    with threadpool_limits(1 if first.size <= _SMALL else None, user_api="blas"):
        ends = [
            minimize(
                objective,
                np.linalg.qr(start)[0].ravel(),
                jac=True,
                method="L-BFGS-B",
                callback=step,
                options={"maxiter": steps, "maxfun": 3 * steps, "ftol": 1e-11, "gtol": 1e-7},
            )
            for start in (first, *others)
        ]
    best = min(ends, key=lambda end: float(end.fun)).x.reshape(first.shape)
    return objective.minimum(np.linalg.qr(best)[0])


class _Objective:
    """The loss of f = U' u for any U (r, d_f) in coordinates u that are white over the pretext samples.

    It depends on the span of U alone, so that steps along its gradient keep U well conditioned.
    """

    def __init__(
        self,
        whitening: np.ndarray,
        pretext: PretextMoments,
        x_down: np.ndarray,
        y: np.ndarray,
        lam: float,
        dim: int,
    ) -> None:
        u = x_down @ whitening.T
        self.uu, self.uy = u.T @ u / len(u), u.T @ y / len(u)
        self.yy = float(np.square(y).sum() / len(y))
        self.uz, self.zz = whitening @ pretext.xz, pretext.zz
        self._whitening, self._lam, self._dim = whitening, lam, dim

    def __call__(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        U = flat.reshape(-1, self._dim)
        label, by_label = _explained(U, self.uy, self.uu)
        pretext, by_pretext = _explained(U, self.uz, None)
        loss = self.yy - label - self._lam * (self.zz - pretext)
        return loss, (self._lam * by_pretext - by_label).ravel()

    def terms(self, U: np.ndarray) -> tuple[float, float]:
        """Both residuals, not negative."""
        label, pretext = _explained(U, self.uy, self.uu)[0], _explained(U, self.uz, None)[0]
        return max(0.0, self.yy - label), max(0.0, self.zz - pretext)

    def minimum(self, U: np.ndarray) -> Minimum:
        label, pretext = self.terms(U)
        return Minimum(
            weight=U.T @ self._whitening,
            label_term=label,
            pretext_term=pretext,
            loss=label - self._lam * pretext,
        )


def _explained(U: np.ndarray, ut: np.ndarray, uu: np.ndarray | None) -> tuple[float, np.ndarray]:
    """What f = U' u explains of t, tr S_tf S_ff^+ S_ft, and its gradient in U; ``uu`` None for E uu' = 1."""
    spread = U if uu is None else uu @ U
    ft = U.T @ ut
    weight = np.linalg.pinv(U.T @ spread, hermitian=True) @ ft
    return float((ft * weight).sum()), 2 * (ut - spread @ weight) @ weight.T

"""The loss of boosting pretext learning with downstream data: y stays predictable from f, z does not.

    L(f; P) = E||y - W*_{y,f} f||^2 - lambda E||z - W*_{z,f} f||^2,   W*_{t,f} = argmin_W E||t - W f||^2

y is the downstream label, z the pretext target, f the features. With u the whitened f,
L = const - ||E y u'||_F^2 + lambda ||E z u'||_F^2: L depends on the span of f alone.

Things to know before reading a number of it:

- The paper writes W* = M_yf M_ff^+ with uncentred moments, so it has no intercept. Here a constant 1
  is appended to f by default; ``intercept=False`` is the loss as printed. For f = (1, 1, 2) and
  y = (1, 1, 0) the residual is 4/9 without the constant and 0 with it.
- From n0 samples the first term is the residual on the same samples. With n0 <= d_f it is 0 whatever
  the labels are, and says nothing about them. For Gaussian features it is (n0 - d_f)/n0 of the noise
  on average, while the error on new samples is 1 + d_f/(n0 - d_f - 1) times the noise.
- L is a surrogate. Where z depends on y and on something else that x tells, its minimiser has neither
  Cov[f, z | y] = 0 nor the smallest residual of y, except as lambda goes to 0.

Source: Teng et al., AISTATS 2022, the loss of Theorem 2, and L_{inf,n0} of Theorem 3.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def best_linear(targets: Tensor, features: Tensor, *, intercept: bool = True) -> Tensor:
    """W* (k, d) of targets (n, k) on features (n, d): M_tf M_ff^+, the solution of smallest norm.

    With an intercept it is (k, d + 1), its last column the weight of the constant 1; then features
    and targets are centred first, which predicts the same with less rounding. No gradient passes
    through W*. Raises ``ValueError`` as ``residual`` does.
    Source: Teng et al., AISTATS 2022, the definition below criterion (C2).
    """
    targets, features, rounding = _float64(targets.detach(), features.detach())
    if not intercept:
        return _solve(targets, features, rounding)
    weight = _solve(targets - targets.mean(dim=0), _centre(features, rounding), rounding)
    return torch.cat([weight, (targets.mean(dim=0) - weight @ features.mean(dim=0))[:, None]], dim=1)


def residual(targets: Tensor, features: Tensor, *, intercept: bool = True) -> Tensor:
    """(1/n) sum_i ||t_i - W* f_i||^2 of targets (n, k) on features (n, d), W* from the same samples.

    Computed in float64. W* minimises the residual, so that to first order a change of W* does not
    change it: the gradient treats W* as constant, is exact where the residual is smooth, and finite
    for constant or linearly dependent features and for n <= d. There are no second derivatives.
    Features that are constant or dependent up to the rounding of their type count as such.
    Raises ``ValueError`` for other shapes, no samples, and values that are not finite.
    Source: Teng et al., AISTATS 2022, criterion (C2).
    """
    targets, features, rounding = _float64(targets, features)
    if intercept:
        targets, features = targets - targets.mean(dim=0), _centre(features, rounding)
    weight = _solve(targets.detach(), features.detach(), rounding)
    return (targets - features @ weight.T).square().sum(dim=1).mean()


def pretext_loss(
    f_down: Tensor, y: Tensor, f_pre: Tensor, z: Tensor, lam: float, *, intercept: bool = True
) -> Tensor:
    """L_{inf,n0}: y (n0, k) on f_down (n0, d) minus lam times z (N, d_z) on f_pre (N, d).

    The paper's second term is an expectation; here it is the residual on the N pretext samples, for
    Gaussian features too small by d/N of it on average. Raises ``ValueError`` as ``residual`` does,
    for features of two dimensions, and for lam < 0.
    Source: Teng et al., AISTATS 2022, the loss before Theorem 3.
    """
    if not 0 <= lam < float("inf"):
        raise ValueError(f"lambda is a number of at least 0, not {lam}.")
    if f_down.shape[-1] != f_pre.shape[-1]:
        raise ValueError(f"features have one dimension, not {f_down.shape[-1]} and {f_pre.shape[-1]}.")
    return residual(y, f_down, intercept=intercept) - lam * residual(z, f_pre, intercept=intercept)


def population_residual(tt: Tensor, tf: Tensor, ff: Tensor) -> Tensor:
    """E||t - W* f||^2 from second moments: E tt' (k, k), E tf' (k, d), E ff' (d, d).

    Covariances give the residual with an intercept. The gradient is as in ``residual``.
    Raises ``ValueError`` for other shapes and values that are not finite.
    """
    k, d = tf.shape[0], tf.shape[-1]
    if tf.ndim != 2 or tt.shape != (k, k) or ff.shape != (d, d):
        raise ValueError(
            f"moments of shapes {tuple(tt.shape)}, {tuple(tf.shape)}, {tuple(ff.shape)} do not fit."
        )
    tt, tf, ff = tt.double(), tf.double(), ff.double()
    if not all(bool(torch.isfinite(moment).all()) for moment in (tt, tf, ff)):
        raise ValueError("the moments are not all finite.")
    scale = ff.detach().diagonal().clamp(min=0).sqrt()
    scale = scale.where(scale > 0, 1.0)
    inverse = torch.linalg.pinv(ff.detach() / scale / scale[:, None], rtol=1e-12, hermitian=True)
    weight = (tf.detach() / scale) @ inverse / scale
    left: Tensor = tt.trace() - 2 * (weight * tf).sum() + ((weight @ ff) * weight).sum()
    return left


def population_loss(
    moments: Tensor, f: Sequence[int], y: Sequence[int], z: Sequence[int], lam: float
) -> Tensor:
    """L(f; P) for features, label and target that are coordinates of a vector with these second moments.

    ``f``, ``y`` and ``z`` are indices of rows of ``moments`` (m, m). Raises ``ValueError`` as
    ``population_residual`` does.
    Source: Teng et al., AISTATS 2022, the loss of Theorem 2.
    """
    ff = moments[list(f)][:, list(f)]
    label, pretext = (
        population_residual(moments[list(t)][:, list(t)], moments[list(t)][:, list(f)], ff) for t in (y, z)
    )
    return label - lam * pretext


def _float64(targets: Tensor, features: Tensor) -> tuple[Tensor, Tensor, float]:
    """Both in float64, and what is rounding of the features as they came, relative to their size."""
    if targets.ndim != 2 or features.ndim != 2 or len(targets) != len(features) or not len(features):
        shapes = f"{tuple(targets.shape)} and {tuple(features.shape)}"
        raise ValueError(f"targets (n, k) and features (n, d) have n > 0 rows in common, not {shapes}.")
    eps = torch.finfo(features.dtype).eps if features.is_floating_point() else 0.0
    targets, features = targets.double(), features.double()
    if not (torch.isfinite(targets).all() and torch.isfinite(features).all()):
        raise ValueError("targets and features are not all finite.")
    return targets, features, max(16 * eps, 1e-12)


def _centre(features: Tensor, rounding: float) -> Tensor:
    centred = features - features.mean(dim=0)
    # What is left of a constant is rounding, on which any label could be fitted.
    varies = centred.detach().abs().amax(dim=0) > rounding * features.detach().abs().amax(dim=0)
    return centred.where(varies, 0.0)


def _solve(targets: Tensor, features: Tensor, rounding: float) -> Tensor:
    """The pseudo-inverse of features of one length, so that no feature is dropped for its scale."""
    length = features.norm(dim=0)
    length = length.where(length > 0, 1.0)
    inverse = torch.linalg.pinv(features / length, rtol=max(rounding, 1e-10))
    weight: Tensor = (inverse @ targets).T / length
    return weight

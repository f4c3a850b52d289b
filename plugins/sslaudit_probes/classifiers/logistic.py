"""Multinomial logistic regression with an L2 penalty, by L-BFGS in the principal axes of the features.

The objective is sum_i -log softmax(W x_i + b)[y_i] + penalty / 2 ||W||^2 over standardised x: the
loss is summed, not averaged, and the bias is free. So penalty = 1 / C of scikit-learn's
``LogisticRegression``; for two classes it is 2 / C, because there one vector stands for a pair of opposite
ones.

Traps: the mean of a feature far from 0 must be taken off in float64, or float32 keeps few digits of what
is left; a constant feature has no scale; features as they come have axes of very different length, along
which L-BFGS needs hundreds of steps, and stops early. A rotation to the principal axes leaves ||W||^2 as it
is, and there the curvature is nearly diagonal: c (variance of the axis) + penalty / N, with c about the
mean probability of the wrong classes over K. Steps are taken in units of its root, and a fit on the way
to which c has shrunk to a quarter goes on in new units: else it stops short where classes are separable.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-5
"""Largest entry of the gradient, of the mean loss and in the units above, at which a fit has converged."""
STEPS = 1000

_SMALLEST = 1e-12
"""Share of the largest variance below which an axis is the rounding of float32."""
_STALE = 4.0
"""Factor that the curvature may shrink by before the units of the steps are made anew."""
_FLATTEST = 1e-12
_ROWS = 2**13
_HELD = {"cpu": 2**21, "cuda": 2**26}
"""Entries of features and scores in one piece: on a CPU they stay in its cache."""

Array = TypeVar("Array", np.ndarray, Tensor)


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A linear classifier of features as they are: its standardisation is part of the weights."""

    weights: np.ndarray
    """(K, D) float64."""
    bias: np.ndarray
    """(K,) float64."""
    penalty: float
    """The L2 penalty of the summed loss on standardised features."""
    converged: bool
    """Whether the optimiser stopped by itself, and not at the limit of its steps."""
    steps: int
    """Of the optimiser."""
    loss: float
    """Mean cross-entropy, in nats, of the rows that it was fitted to, with penalty / (2 N) ||W||^2."""
    search: "Search | None" = None
    """How the penalty was chosen; None where it was given."""

    def logits(self, features: Array) -> Array:
        """W x + b of features (m, D): (m, K) float64, an array of an array, a tensor of a tensor.

        Softmax makes probabilities of them.
        """
        if isinstance(features, Tensor):
            weights = torch.from_numpy(self.weights).to(features.device)
            bias = torch.from_numpy(self.bias).to(features.device)
            found = features.new_empty(len(features), len(bias), dtype=torch.float64)
            for rows in _tiles(len(features), _ROWS):
                torch.addmm(bias, features[rows].double(), weights.T, out=found[rows])
            return found
        array = np.empty((len(features), len(self.bias)))
        for rows in _tiles(len(features), _ROWS):
            array[rows] = features[rows].astype(np.float64) @ self.weights.T + self.bias
        return array


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """A penalty, and what it was chosen by."""

    penalty: float
    at_end: bool
    """Whether it is the smallest or the largest penalty of the grid."""
    accuracy: float | None
    """On the validation rows; None without any."""
    rows: np.ndarray
    """(m,) the validation rows, indices into the features; empty where no class can spare one."""
    logits: np.ndarray
    """(m, K) float64 of these, by ``probe``, which has not seen them."""
    probe: Probe
    """Fitted with ``penalty`` to the other rows."""
    fits: int
    """How many penalties were tried; 0 where nothing can choose one."""


@dataclass(frozen=True, slots=True)
class Design:
    """Features (N, D), standardised and turned to their principal axes, with labels 0..K-1.

    It is made once for fits with several penalties.
    """

    rows: Tensor
    """(N, r) float32; r is 0 for constant features."""
    labels: Tensor
    """(N,)."""
    classes: int
    variances: Tensor
    """(r,) of the axes."""
    axes: Tensor
    """(D, r) float64: standardised features times these are ``rows``."""
    mean: Tensor
    """(D,) float64."""
    scale: Tensor
    """(D,) float64; infinite for a constant feature."""

    @classmethod
    def of(cls, features: np.ndarray | Tensor, labels: np.ndarray | Tensor, classes: int) -> "Design":
        """Raises ``ValueError`` as ``fit_logistic`` does."""
        target = labels if isinstance(labels, Tensor) else torch.tensor(labels)
        _check(features, target, classes)
        device = features.device if isinstance(features, Tensor) else torch.device("cpu")
        mean, scale = _moments(features, device)
        rows = torch.empty(features.shape, dtype=torch.float32, device=device)
        for part in _tiles(len(rows), _ROWS):
            rows[part] = (_double(features[part]) - mean) / scale
        axes = _principal(rows)
        turn = axes.float()
        if axes.shape[1] == rows.shape[1]:
            for part in _tiles(len(rows), _ROWS):
                rows[part] = rows[part] @ turn
        else:
            rows = rows @ turn
        variances = rows.square().mean(dim=0, dtype=torch.float64)
        return cls(rows, target.to(device, torch.int64), classes, variances, axes, mean, scale)

    def fit(
        self, penalty: float, start: Probe | None = None, *, tolerance: float = TOLERANCE, steps: int = STEPS
    ) -> Probe:
        """The probe of one penalty, from the weights of ``start`` on."""
        n, classes = len(self.rows), self.classes
        found = torch.zeros(classes, self.rows.shape[1] + 1, device=self.rows.device)
        if start is not None:
            found = self._turned(start).float()
        state, taken, settled = self._objective(found, penalty), 0, False
        while not settled:
            curvature = state.wrong / classes
            own = torch.cat(
                [self.variances * curvature + penalty / n, self.variances.new_tensor([curvature])]
            )
            units = own.clamp(min=_FLATTEST).rsqrt().float()
            found, used, stopped = self._descend(found, penalty, units, tolerance, steps - taken, state.loss)
            taken += used
            before, state = state, self._objective(found, penalty)
            settled = not stopped or state.wrong >= before.wrong / _STALE
        slopes = (found[:, :-1].double() @ self.axes.T) / self.scale
        return Probe(
            weights=slopes.cpu().numpy(),
            bias=(found[:, -1].double() - slopes @ self.mean).cpu().numpy(),
            penalty=penalty,
            converged=stopped,
            steps=taken,
            loss=state.loss,
        )

    def _descend(
        self, found: Tensor, penalty: float, units: Tensor, tolerance: float, steps: int, loss: float
    ) -> tuple[Tensor, int, bool]:
        """Weights after L-BFGS in ``units``, the steps taken, and whether it stopped before the limit."""
        parameter = (found / units).requires_grad_()
        optimizer = torch.optim.LBFGS(
            [parameter],
            max_iter=steps,
            max_eval=2 * steps,
            tolerance_grad=tolerance,
            tolerance_change=1e-9 * min(1.0, loss),
            history_size=10,
            line_search_fn="strong_wolfe",
        )

        def closure() -> float:
            with torch.no_grad():
                state = self._objective(parameter * units, penalty)
                parameter.grad = state.gradient * units
            return state.loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        record = optimizer.state[parameter]
        stopped = record["n_iter"] < steps and record["func_evals"] < 2 * steps
        return parameter.detach() * units, record["n_iter"], stopped

    def _turned(self, probe: Probe) -> Tensor:
        """Weights and bias (K, r + 1) of a probe, in the axes of the design."""
        weights = torch.from_numpy(probe.weights).to(self.mean.device)
        bias = torch.from_numpy(probe.bias).to(self.mean.device) + weights @ self.mean
        slopes = weights * self.scale.masked_fill(self.scale.isinf(), 0)
        return torch.cat([slopes @ self.axes, (bias - bias.mean())[:, None]], dim=1)

    def _objective(self, found: Tensor, penalty: float) -> "_State":
        n, weights = len(self.rows), found[:, :-1]
        loss = torch.zeros(2, dtype=torch.float64, device=found.device)
        gradient = torch.zeros_like(found)
        held = _HELD.get(found.device.type, _HELD["cpu"])
        for part in _tiles(n, max(1, held // (self.classes + self.rows.shape[1]))):
            rows, labels = self.rows[part], self.labels[part, None]
            scores = torch.addmm(found[:, -1], rows, weights.T)
            total = scores.logsumexp(dim=1, keepdim=True)
            direct = total - scores.gather(1, labels)
            wrong = scores.sub_(total).exp_().scatter_(1, labels, 0.0)
            rest = wrong.sum(dim=1, keepdim=True)
            wrong.scatter_(1, labels, -rest)
            gradient[:, :-1].addmm_(wrong.T, rows)
            gradient[:, -1] += wrong.sum(dim=0)
            small = torch.where(rest < 0.5, -torch.log1p(-rest), direct)
            loss += torch.stack([small.sum(dtype=torch.float64), rest.sum(dtype=torch.float64)])
        gradient[:, :-1] += penalty * weights
        loss[0] += penalty / 2 * torch.linalg.vector_norm(weights, dtype=torch.float64) ** 2
        mean, wrong_mean = (loss / n).tolist()
        return _State(mean, gradient / n, wrong_mean)


@dataclass(frozen=True, slots=True)
class _State:
    loss: float
    """Mean loss with its penalty."""
    gradient: Tensor
    """(K, r + 1) of it."""
    wrong: float
    """Mean probability of the wrong classes."""


def fit_logistic(
    features: np.ndarray | Tensor,
    labels: np.ndarray | Tensor,
    classes: int,
    penalty: float,
    start: Probe | None = None,
    *,
    tolerance: float = TOLERANCE,
    steps: int = STEPS,
) -> Probe:
    """Logistic regression of labels (N,) in 0..K-1 on features (N, D): the probe of one penalty.

    Everything large is float32 and stays on the device of the features. Raises ``ValueError`` for
    shapes that do not fit, features that are not finite (naming the rows), labels outside 0..K-1, a
    class without rows and a penalty that is not positive.
    Source: Liu and Nocedal, Mathematical Programming 1989 (L-BFGS); Hastie et al., The Elements of
    Statistical Learning, Sec. 4.4.
    """
    if not 0 < penalty < np.inf:
        raise ValueError(f"a penalty is positive and finite, not {penalty}.")
    return Design.of(features, labels, classes).fit(penalty, start, tolerance=tolerance, steps=steps)


def _moments(features: np.ndarray | Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (D,) in float64, infinite for a constant feature."""
    n, dim = features.shape
    total = torch.zeros(dim, dtype=torch.float64, device=device)
    largest, square = total.clone(), total.clone()
    for part in _tiles(n, _ROWS):
        block = _double(features[part])
        total += block.sum(dim=0)
        largest = torch.maximum(largest, block.abs().amax(dim=0))
    mean = total / n
    for part in _tiles(n, _ROWS):
        square += (_double(features[part]) - mean).square().sum(dim=0)
    scale = (square / n).sqrt()
    constant = scale <= 4 * torch.finfo(torch.float32).eps * largest
    return mean, scale.masked_fill(constant, torch.inf)


def _principal(rows: Tensor) -> Tensor:
    """The principal axes (D, r), float64, of centred rows (N, D), without those that are rounding."""
    n, dim = rows.shape
    wide = n < dim
    gram = rows.double() @ rows.double().T if wide else (rows.T @ rows).double()
    sizes, vectors = torch.linalg.eigh(gram)
    kept = (sizes > _SMALLEST * sizes[-1:]) & (sizes > 0)
    vectors = vectors[:, kept].flip(1)  # the longest axis first, so that QR does not mix it into short ones
    axes: Tensor = torch.linalg.qr(rows.double().T @ vectors).Q if wide else vectors
    return axes


def _double(rows: np.ndarray | Tensor) -> Tensor:
    return rows.double() if isinstance(rows, Tensor) else torch.tensor(rows, dtype=torch.float64)


def _tiles(n: int, rows: int) -> Iterator[slice]:
    for first in range(0, n, rows):
        yield slice(first, min(n, first + rows))


def _check(features: np.ndarray | Tensor, labels: Tensor, classes: int) -> None:
    if features.ndim != 2 or not len(features) or labels.shape != features.shape[:1]:
        raise ValueError(
            f"features are (N, D) with labels (N,), not {tuple(features.shape)} with {tuple(labels.shape)}."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels are integers 0..{classes - 1}.")
    if missing := int((torch.bincount(labels.long(), minlength=classes) == 0).sum()):
        raise ValueError(f"{missing} of {classes} classes have no rows to fit.")
    good = [_double(features[part]).isfinite().all(dim=1).cpu() for part in _tiles(len(features), _ROWS)]
    bad = np.flatnonzero(~torch.cat(good).numpy())
    if len(bad):
        listed = ", ".join(map(str, bad[:5].tolist())) + (", ..." if len(bad) > 5 else "")
        raise ValueError(f"features of {len(bad)} rows are not finite: {listed}.")

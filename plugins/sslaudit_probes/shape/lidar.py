"""How many dimensions tell images apart beyond what their own views do: LiDAR, where an image is a class.

Traps:

* Means of q views hold 1/q of the scatter within images. An embedding that is noise alone, without any
  difference between images, has all eigenvalues at 1/q: the maximum. So the rank is high for images that
  differ in many dimensions, and for images that do not differ at all; the trace tells which.
* delta is added to variances, in squared units of the features: the value does not change with a rotation,
  but with a change of scale unless delta follows. Where n (q - 1) < D the scatter within is singular, and
  directions without any are ruled by delta alone. For long features it is less than what rounding leaves
  there; then 1e-12 of the total variance takes its place.
* 0 log 0 is 0, and eps adds up to 1e-7 for each eigenvalue that is 0.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import entr
from torch import Tensor

from sslaudit.figures import Curve, Series
from sslaudit.results import Detail, Estimate
from sslaudit_probes.shape.jackknife import FEWEST, block_interval, blocks
from sslaudit_probes.shape.sample import CONSTANT, is_constant

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

DELTA = 1e-4
EPS = 1e-8
SWEEP = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""Values of delta whose LiDAR is told."""
DEPENDS = 0.1
"""A change over the sweep by more than this share is told in the note."""
NOISE = " Images differ hardly more than the noise of their views makes them, which raises the value."
"""Said where less than half of the variance of the means, in units of S_w, is of the images."""
IMAGES, VIEWS = 100, 10
"""What the source asks for at least."""


def lidar(views: ArrayLike | Tensor, delta: float = DELTA, eps: float = EPS) -> float:
    """exp(-sum p log p), p = lambda / sum(lambda) + eps, of ``lda_eigenvalues``.

    Of views (N, q, D): in [1, min(D, N - 1)] but for eps. 1 where the means of all images are equal.
    Raises ``ValueError`` as ``lda_eigenvalues`` does.
    Source: Thilak et al., ICLR 2024, LiDAR.
    """
    return rank_of(lda_eigenvalues(views, delta), eps)


def lda_eigenvalues(views: ArrayLike | Tensor, delta: float = DELTA) -> np.ndarray:
    """The min(D, N - 1) leading eigenvalues of S_w^-1/2 S_b S_w^-1/2, largest first, of views (N, q, D).

    S_b is the covariance of the means of the images, over N - 1; S_w that within images, over N (q - 1),
    plus delta, or 1e-12 of the total variance where that is more. In float64. Raises ``ValueError`` for
    another shape, values that are not finite, N < 2, q < 2 or delta <= 0.
    Source: Thilak et al., ICLR 2024, LiDAR.
    """
    scatter = Scatter.of(views)
    return _eigenvalues(scatter.means, scatter.within(), delta)


def rank_of(eigenvalues: np.ndarray, eps: float = EPS) -> float:
    """exp of the entropy of eigenvalues as shares of their sum, plus eps; 1 where all are zero."""
    total = eigenvalues.sum()
    return float(np.exp(entr(eigenvalues / total + eps).sum())) if total > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Scatter:
    """Means of images, and the views around them."""

    means: Tensor
    """(N, D) float64."""
    around: Tensor
    """(N, q, D) float64: views less the mean of their image."""

    @classmethod
    def of(cls, views: ArrayLike | Tensor) -> "Scatter":
        array = views if isinstance(views, Tensor) else torch.as_tensor(np.asarray(views))
        array = array.double()
        if array.ndim != 3 or array.shape[0] < 2 or array.shape[1] < 2 or not array.numel():
            raise ValueError(
                f"LiDAR takes views (N, q, D), two images and views or more: {tuple(array.shape)}."
            )
        if not bool(array.isfinite().all()):
            raise ValueError("the views are not all finite.")
        means = array.mean(1)
        return cls(means=means, around=array - means[:, None])

    def within(self) -> Tensor:
        """(D, D) covariance within images, over N (q - 1)."""
        return _product(self.around) / (len(self.means) * (self.around.shape[1] - 1))

    def without_blocks(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Means and covariance within images, with each block of images left out in turn."""
        n, q, _ = self.around.shape
        total = _product(self.around)
        for cut in blocks(n):
            left = torch.cat([self.means[: cut.start], self.means[cut.stop :]])
            yield left, (total - _product(self.around[cut])) / (len(left) * (q - 1))


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``lidar``: how many dimensions tell images apart beyond what their own views do.

    Formula: exp(-sum p log p), p = lambda / sum(lambda) + 1e-8, of the eigenvalues lambda of
      S_w^-1/2 S_b S_w^-1/2: S_b the covariance of the images' means over views, S_w that of views around
      them over n (q - 1), plus delta = 1e-4, or 1e-12 of the total variance where that is more.
    Shapes: views 1 to q of at most ``images`` images, (n, q, D). View 0 is left out: it is the image itself
      and no draw of the augmentation, and what sets it apart is the same for all images. With two views in
      all it is taken, and the note says so.
    Range: [1, min(D, n - 1)].
    Typical: measured on the 1,797 digits with shifts by a pixel as views: pixels about 1 of 64, where delta
      decides, an untrained ReLU network 54 of 128, Gaussian noise 119 of 128.
    High: images differ in many dimensions, in proportion to what their views do there. An embedding that is
      noise alone reaches the maximum, too: means of q views hold 1/q of the noise. ``signal`` among the
      details, the mean eigenvalue times q less 1, is near 0 then.
    Low: a few dimensions tell images apart; 1 where one does, or none.
    Bias: over with few views, for that noise; under with few images, which bound it. The interval is for
      other samples of n images with q views; measured in Gaussian and clustered worlds, it covered 93 % or
      more.
    Source: Thilak et al., ICLR 2024, LiDAR; at least 100 images and 10 views.
    """
    total, drawn, dim = inputs.views.shape
    if total < 2:
        return Estimate.not_applicable("fewer than two images")
    views = _draw(inputs)
    if is_constant(views.reshape(-1, dim)):
        return Estimate.not_applicable("zero variance: all embeddings are equal")
    n, q, _ = views.shape
    delta, scatter = float(inputs.options["delta"]), Scatter.of(views)
    within = scatter.within()
    eigenvalues = _eigenvalues(scatter.means, within, delta)
    value, most = rank_of(eigenvalues), min(dim, n - 1)
    sweep = {at: rank_of(_eigenvalues(scatter.means, within, at)) for at in SWEEP}
    signal = q * float(eigenvalues.sum()) / dim - 1
    interval = None
    if n >= FEWEST:
        without = [rank_of(_eigenvalues(*left, delta)) for left in scatter.without_blocks()]
        interval = block_interval(value, without, 1.0, most)
    details: dict[str, Detail] = {
        "images": n,
        "views": q,
        "maximum": most,
        "share_of_maximum": value / most,
        "delta": delta,
        "signal": signal,
        "smallest_within": torch.linalg.eigvalsh(within)[0].clamp(min=0).item(),
        **{f"delta_{at:.0e}": rank for at, rank in sweep.items()},
        "reading": f"of at most {most:,}",
    }
    return Estimate(
        value=value,
        interval=interval,
        no_interval="" if interval else f"fewer than {FEWEST} images",
        bias="unknown",
        note=_note(n, total, q, drawn, dim, sweep) + (NOISE if signal < 1 else ""),
        details=details,
        figures=(_figure(sweep, most),),
    )


def _draw(inputs: "MetricInputs") -> Tensor:
    """(n, q, D) float32 on the device, images in random order."""
    total, drawn, dim = inputs.views.shape
    first = 1 if drawn > 2 else 0
    order = inputs.rng().permutation(total)[: int(inputs.options["images"])]
    place = np.full(total, -1)
    place[order] = np.arange(len(order))
    views = np.empty((len(order), drawn - first, dim), dtype=np.float32)
    for rows, block in inputs.views.chunks():
        here = place[rows]
        views[here[here >= 0]] = block[here >= 0, first:]
    return torch.from_numpy(views).to(inputs.device)


def _note(n: int, total: int, q: int, drawn: int, dim: int, sweep: dict[float, float]) -> str:
    note = "Dimensions that tell images apart, in units of the scatter of their views."
    if n < total:
        note += f" {n:,} of {total:,} images, drawn at random."
    if drawn == 2:
        note += " One of the two views is the image itself."
    if n < IMAGES or q < VIEWS:
        note += f" {n:,} images with {q} views; the source asks for {IMAGES} with {VIEWS}."
    if n * (q - 1) < dim:
        note += f" The scatter of views is singular: {n * (q - 1):,} differences for {dim:,} dimensions."
    low, high = min(sweep.values()), max(sweep.values())
    if high > (1 + DEPENDS) * low:
        note += f" It depends on delta: {low:.1f} to {high:.1f} for delta from {SWEEP[-1]:g} to {SWEEP[0]:g}."
    return note


def _figure(sweep: dict[float, float], most: int) -> Curve:
    x = np.log10(list(sweep)).tolist()
    return Curve(
        title=f"LiDAR by delta, of at most {most:,}",
        x_label="log10 of delta",
        y_label="LiDAR",
        series=(Series(name="LiDAR", x=x, y=list(sweep.values())),),
        note="A flat line: the value does not depend on delta, which is added to variances within images.",
    )


def _eigenvalues(means: Tensor, within: Tensor, delta: float) -> np.ndarray:
    """Those of the whitened covariance of ``means`` (n, D), from the smaller of its two products."""
    if delta <= 0:
        raise ValueError(f"delta is above 0, not {delta}.")
    n, dim = means.shape
    centred = means - means.mean(0)
    total = within.trace() + centred.square().sum() / (n - 1)
    regular = within.clone()
    regular.diagonal().add_(torch.clamp(CONSTANT * total, min=delta))
    root = torch.linalg.cholesky(regular)
    white = torch.linalg.solve_triangular(root, centred.T, upper=False)
    gram = white @ white.T if dim < n else white.T @ white
    values = torch.linalg.eigvalsh(gram / (n - 1)).flip(0).clamp(min=0)
    eigenvalues: np.ndarray = values[: min(dim, n - 1)].cpu().numpy()
    return eigenvalues


def _product(around: Tensor) -> Tensor:
    flat = around.reshape(-1, around.shape[2])
    return flat.T @ flat

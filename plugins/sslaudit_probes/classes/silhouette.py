"""Silhouette: is an image nearer to its own class than to the next one?

Each value depends on all images, so their standard deviation is no standard error. Leaving out one image
changes one mean distance of each other image, so the exact jackknife takes the distances once more and no
resampling; a bootstrap would put copies at distance 0 and find classes tighter than they are.

Distances are Euclidean. As ||a||^2 + ||b||^2 - 2 ab they lose the digits of near-duplicates, so products
are float64 around the mean, and squares below 1e-12 of the mean squared length count as 0.
"""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from sslaudit.encoder import unit_rows
from sslaudit.figures import Bars
from sslaudit.results import Detail, Estimate
from sslaudit_probes.classes.moments import ROUNDING, Array, checked, normal_limits, one_hot

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

_HELD = 2**22
"""Distances that are in memory at one time."""
_SHOWN = 40


@dataclass(frozen=True, slots=True, eq=False)
class Silhouette:
    """How much nearer an image is to the images of its own class."""

    samples: np.ndarray
    """(N,) (b - a) / max(a, b) in [-1, 1]; 0 where that is 0 / 0, and for a class of one image."""
    without: np.ndarray | None
    """(N,) mean of the values without each image; None where a class has one image."""

    @property
    def value(self) -> float:
        """Mean over the images."""
        return float(self.samples.mean())

    @property
    def error(self) -> float | None:
        """Standard error of the value by the jackknife."""
        if self.without is None:
            return None
        n = len(self.without)
        return float(np.sqrt((n - 1) / n * np.square(self.without - self.without.mean()).sum()))


def silhouette(features: Array, labels: Array) -> Silhouette:
    """Silhouettes of features (N, D) with labels (N,), by Euclidean distances.

    a is the mean distance to the other images of the class, b the smallest mean distance to those of
    another class. Distances are made in tiles on the device of the features. Raises ``ValueError`` for
    one class, other shapes, and features that are not finite.
    Source: Rousseeuw, Journal of Computational and Applied Mathematics 1987.
    """
    rows, own = checked(features, labels)
    present, own = torch.unique(own, return_inverse=True)
    if len(present) < 2:
        raise ValueError("a silhouette takes two classes.")
    centred = rows.double()
    energy = float(centred.square().sum(1).mean())
    if not np.isfinite(energy):
        raise ValueError("the features are not all finite.")
    centred = centred - centred.mean(0)
    hot = one_hot(own, len(present))
    sizes = hot.sum(0)
    lone = bool(sizes.min() < 2)
    samples, without = [], torch.zeros(len(own), dtype=torch.float64, device=rows.device)
    step = max(1, _HELD // len(own))
    for start in range(0, len(own), step):
        mine = own[start : start + step]
        distances = _distances(centred[start : start + step], centred, ROUNDING * energy)
        sums = distances @ hot
        inside = sums.gather(1, mine[:, None]) / (sizes[mine, None] - 1).clamp(min=1)
        outside = (sums / sizes).scatter(1, mine[:, None], torch.inf)
        value = _ratio(inside, outside.min(1, keepdim=True).values)
        samples.append(value.where(sizes[mine, None] > 1, 0.0)[:, 0])
        if not lone:
            each = _without(distances, sums, inside, outside, mine, own, sizes)
            each[torch.arange(len(mine)), torch.arange(start, start + len(mine))] = 0.0
            without += each.sum(0)
    return Silhouette(
        torch.cat(samples).cpu().numpy(),
        None if lone else (without / (len(own) - 1)).cpu().numpy(),
    )


def compute(inputs: "MetricInputs") -> dict[str, Estimate] | Estimate:
    """The metric ``silhouette``: whether images are nearer to their own class than to the next one.

    Formula: the mean over images of (b - a) / max(a, b), a the mean distance to the other images of the
      class and b the smallest mean distance to another class. Distances are Euclidean between embeddings
      of unit norm. Beside it, k-means with as many clusters as classes, against the labels: the adjusted
      Rand index, and normalised mutual information among the details.
    Shapes: embeddings (N, D), at most ``images`` of them, train and test; labels (N,).
    Range: [-1, 1]; both are 1 for classes that are single points, and the Rand index is 0 by chance.
    Typical: on the embedded digits .17 for raw pixels and -.01 for random features.
    High: classes are clusters by themselves, without any fitted map.
    Low: near 0 classes overlap; below 0 an image is nearer to another class. A linear probe may still part
      them.
    Bias: too small with few drawn images a class, as the smallest of many noisy means is small.
    Source: Rousseeuw 1987; Hubert and Arabie, Journal of Classification 1985 (adjusted Rand index).
    """
    drawn = _drawn(inputs)
    own = inputs.labels[drawn]
    kept, own = np.unique(own, return_inverse=True)
    if len(kept) < 2:
        return Estimate.not_applicable("fewer than two classes have two drawn images")
    unit = unit_rows(inputs.embeddings[drawn])
    if np.square(unit - unit[0]).sum(axis=1).max() <= ROUNDING:
        return Estimate.not_applicable("all embeddings point the same way: features are constant")
    found = silhouette(torch.from_numpy(unit).to(inputs.device), own)
    names = [inputs.classes[k] for k in kept]
    note = f"Euclidean distances of unit embeddings, of {len(drawn):,} of {len(inputs.labels):,} images."
    assert found.error is not None  # every class has two images
    return {
        "": Estimate(
            value=found.value,
            interval=normal_limits(found.value, found.error, -1.0, 1.0, "delete-one jackknife over images"),
            bias="under",
            note=note,
            details={"images": len(drawn), **_by_class(found, own, names)},
            figures=(_bars(found, own, names),),
        ),
        "k-means": _k_means(unit, own, inputs.rng()),
    }


def _drawn(inputs: "MetricInputs") -> np.ndarray:
    """At most ``images`` images, of classes that have two among them."""
    every = np.concatenate([inputs.train, inputs.test])
    drawn = np.sort(inputs.rng().permutation(every)[: int(inputs.options["images"])])
    own = inputs.labels[drawn]
    shared: np.ndarray = drawn[np.bincount(own)[own] > 1]
    return shared


def _k_means(unit: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> Estimate:
    clusters, seed = int(own.max()) + 1, int(rng.integers(2**31))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer different embeddings than classes: empty clusters, no fault
        found = KMeans(clusters, n_init=3, random_state=seed).fit(unit)
    return Estimate(
        value=adjusted_rand_score(own, found.labels_),
        no_interval="k-means finds other clusters on every resample",
        label="k-means against labels",
        paper="adjusted Rand",
        note=f"k-means with {clusters:,} clusters, the best of 3 starts, against the labels.",
        details={
            "nmi": normalized_mutual_info_score(own, found.labels_),
            "clusters": clusters,
            "steps": int(found.n_iter_),
        },
        minor=True,
    )


def _means(found: Silhouette, own: np.ndarray) -> np.ndarray:
    means: np.ndarray = np.bincount(own, weights=found.samples) / np.bincount(own)
    return means


def _by_class(found: Silhouette, own: np.ndarray, names: list[str]) -> dict[str, Detail]:
    means = _means(found, own)
    least = int(means.argmin())
    shown = names[least] if len(names[least]) <= 13 else f"{names[least][:12]}…"
    return {
        "least_class": names[least],
        "least": means[least],
        "below_0": (found.samples < 0).mean(),
        "reading": f"least: {shown}",
    }


def _bars(found: Silhouette, own: np.ndarray, names: list[str]) -> Bars:
    means = _means(found, own)
    order = np.argsort(means, kind="stable")[:_SHOWN]
    few = "" if len(names) <= _SHOWN else f", the {_SHOWN} smallest of {len(names):,}"
    return Bars(
        title=f"mean silhouette of each class{few}",
        labels=[names[k] for k in order],
        values=means[order].tolist(),
        value_label="silhouette",
        note="Below 0 the images of a class lie nearer to another class than to their own.",
    )


def _distances(tile: Tensor, rows: Tensor, rounding: float) -> Tensor:
    """(n, N) Euclidean."""
    squares = tile.square().sum(1)[:, None] + rows.square().sum(1) - 2 * tile @ rows.T
    return squares.where(squares > rounding, 0.0).sqrt()


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """(b - a) / max(a, b), 0 for 0 / 0."""
    return ((b - a) / torch.maximum(a, b)).nan_to_num(nan=0.0)


def _without(
    distances: Tensor,
    sums: Tensor,
    inside: Tensor,
    outside: Tensor,
    mine: Tensor,
    own: Tensor,
    sizes: Tensor,
) -> Tensor:
    """The value of each image (n,) of a tile without each image (N,)."""
    same = mine[:, None] == own
    changed = (sums[:, own] - distances) / (sizes[own] - 1 - same.double()).clamp(min=1)
    least, places = outside.topk(2, largest=False)  # of two classes the second is infinite
    others = least[:, 1:].where(own == places[:, :1], least[:, :1])
    nearest = least[:, :1].where(same, torch.minimum(changed, others))
    value = _ratio(changed.where(same, inside), nearest)
    return value.where(~(same & (sizes[mine, None] == 2)), 0.0)

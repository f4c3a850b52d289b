"""The metric ``transferability``: what stands in for a probe, from statistics of features and labels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sslaudit.figures import Bars
from sslaudit.numbers import number
from sslaudit.results import Detail, Estimate
from sslaudit.stats import bootstrap_mean
from sslaudit_probes.classes.h_score import h_score, h_score_error
from sslaudit_probes.classes.leep import KEPT, leep, mixture, nce
from sslaudit_probes.classes.logme import logme
from sslaudit_probes.classes.moments import normal_limits

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

_SHOWN = 40


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    rows: np.ndarray
    """(n, D) float32."""
    labels: np.ndarray
    """(n,) in 0..K-1."""
    names: list[str]
    said: str
    rng: np.random.Generator


def compute(inputs: "MetricInputs") -> dict[str, Estimate] | Estimate:
    """The metric ``transferability``: how well labels would be predicted, without fitting a probe.

    Formula: LogME, the largest log evidence of a Bayesian linear model from the features to a one-hot
      column, over N, mean over the K columns. Beside it the regularised H-score (1 - a) tr(S_a^-1 S_b),
      S_a = (1 - a) S + a (tr S / D) I the shrunk covariance, a by Ledoit and Wolf, S_b the covariance of the
      class means; N-LEEP, the mean of log sum_z p(y | z) p(z | x) with a Gaussian mixture in place of a
      source head; NCE, the same with the most likely component alone.
    Shapes: embeddings (N, D) of at most ``images`` training images as they are; labels (N,) of K classes.
    Range: LogME any number; H-score in [0, K - 1]; N-LEEP and NCE from minus the entropy of the labels, as
      good as chance, to 0.
    Typical: on the embedded digits LogME is .26 for raw pixels, and -.27 for random features as without any.
    High: classes are parted by linear maps of the features that need no large weights.
    Low: near the value without features, which is beside it, features say nothing of the classes.
    Bias: LogME rises with the number of images, measured on five Gaussian classes from -.34 for 200 to -.29
      for 4,000; its interval is for other samples of as many, and covered 98 % there. N-LEEP and NCE too
      large, as they are scored on the images that their table is made from. The H-score is too large with
      fewer images than dimensions, and falls with shrinkage, to 0 for near-isotropic features however good.
      A probe says more where it is affordable.
    Source: You et al., ICML 2021; Bao et al., ICIP 2019; Ibrahim et al., 2021; Nguyen et al., ICML 2020;
      Tran et al., ICCV 2019; Li et al., CVPR 2021.
    """
    drawn = _draw(inputs)
    if len(drawn.names) < 2:
        return Estimate.not_applicable("fewer than two classes have training images")
    rows = torch.from_numpy(drawn.rows).to(inputs.device)
    if (score := h_score(rows, drawn.labels)) is None:
        return Estimate.not_applicable("features are constant")
    most, error = len(drawn.names) - 1, h_score_error(rows, drawn.labels, drawn.rng)
    method = "jackknife over 20 groups of images"
    why = ""
    if error is None:
        why = "fewer than 40 images" if len(rows) < 40 else "without some images the features are constant"
    elif not error:
        why = "it is the same without any group of images, as where all is shrunk"
    regularised = Estimate(
        value=score.value,
        interval=normal_limits(score.value, error, 0.0, most, method) if error else None,
        no_interval=why,
        bias="unknown",
        label="variance between classes",
        paper="H-score, regularised",
        unit="sum of shares of variance between classes",
        note=f"At most {most}, the number of classes less one; near-isotropic features are shrunk to 0. "
        f"Of {drawn.said}.",
        details={"shrinkage": score.shrinkage, "most": most, "reading": f"of {most} at most"},
        minor=True,
    )
    return {"": _logme(rows, drawn), "h-score": regularised, **_by_mixture(drawn)}


def _draw(inputs: "MetricInputs") -> _Drawn:
    rng, train = inputs.rng(), inputs.train
    chosen = np.sort(rng.permutation(train)[: int(inputs.options["images"])])
    present, labels = np.unique(inputs.labels[chosen], return_inverse=True)
    return _Drawn(
        rows=inputs.embeddings[chosen],
        labels=labels,
        names=[inputs.classes[k] for k in present],
        said=f"{len(chosen):,} of {len(train):,} training images",
        rng=rng,
    )


def _logme(rows: torch.Tensor, drawn: _Drawn) -> Estimate:
    found = logme(rows, drawn.labels)
    order = np.argsort(found.classes, kind="stable")[:_SHOWN]
    few = "" if len(drawn.names) <= _SHOWN else f", the {_SHOWN} smallest of {len(drawn.names):,}"
    shares = np.bincount(drawn.labels) / len(drawn.labels)
    without = float(-np.log(2 * np.pi * np.e * shares).mean() / 2)
    if found.exact.any():
        first = drawn.names[int(found.exact.argmax())]
        return Estimate.not_applicable(f"features fit class {first} exactly, so its evidence has no bound")
    return Estimate(
        value=found.value,
        interval=normal_limits(
            found.value, found.error, -np.inf, np.inf, "infinitesimal jackknife over images"
        ),
        bias="under",
        label="evidence of a linear model",
        note="Log evidence of a Bayesian linear model for each image, in nats, mean over the one-hot "
        f"columns of the classes; without features it is {number(without)}. Of {drawn.said}.",
        details={"without_features": without, "reading": f"{number(without)} without"},
        figures=(
            Bars(
                title=f"log evidence of each class{few}",
                labels=[drawn.names[k] for k in order],
                values=found.classes[order].tolist(),
                value_label="nats for each image",
                note="The smaller a value, the less a linear model tells that class from the rest.",
            ),
        ),
    )


def _by_mixture(drawn: _Drawn) -> dict[str, Estimate]:
    """N-LEEP and NCE."""
    found = mixture(drawn.rows, len(drawn.names), int(drawn.rng.integers(2**31)))
    components = found.responsibilities.shape[1]
    shares = np.bincount(drawn.labels) / len(drawn.labels)
    chance = float((shares * np.log(shares)).sum())
    details: dict[str, Detail] = {
        "components": components,
        "dimensions": found.dim,
        "chance": chance,
        "converged": found.converged,
        "reading": f"{number(chance)} by chance",
    }
    note = (
        f"In nats. {components:,} Gaussians with diagonal covariances on the {found.dim} principal "
        f"components with {KEPT:.0%} of the variance, of {drawn.said}. The interval takes the mixture and "
        "its table of labels as fixed."
    )
    scores = {
        "n-leep": ("mixture tells the class", "N-LEEP", leep(found.responsibilities, drawn.labels)),
        "nce": ("best component tells it", "NCE", nce(found.responsibilities.argmax(axis=1), drawn.labels)),
    }
    return {
        name: Estimate(
            value=each.mean(),
            interval=bootstrap_mean(each, drawn.rng),
            bias="over",
            label=label,
            paper=paper,
            note=note,
            details=details,
            minor=True,
        )
        for name, (label, paper, each) in scores.items()
    }

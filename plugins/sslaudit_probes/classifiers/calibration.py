"""Whether the probabilities of the linear probe can be believed: calibration error, NLL and Brier score.

Traps: the calibration error of a sample is never below 0, so that noise alone makes it positive, the more so
with fewer images and more bins. A bootstrap adds the same noise once more, and its percentiles may all lie
above the truth; here it gives the spread alone, the lower limit is less by what it added, and is 0 where a
calibrated probe would often show as much.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import norm

from sslaudit.figures import Curve, Series
from sslaudit.numbers import number
from sslaudit.results import Estimate, Interval
from sslaudit.stats import bootstrap_mean, resample_counts, wilson
from sslaudit_probes.classifiers.accuracy import first_best
from sslaudit_probes.classifiers.linear_probe import fitted

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

HOTTEST = 100.0
"""The temperature is sought between 1 / this and this."""

_DRAWS = 2000
_HELD = 2**22
_LEVEL = 0.95


def confidence_bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each confidence (N,) in [0, 1]: (N,) in 0..bins-1; bin m is (m / bins, (m+1) / bins].

    Raises ``ValueError`` for fewer than one bin and for confidences outside [0, 1].
    """
    if bins < 1 or not len(confidence) or not ((confidence >= 0) & (confidence <= 1 + 1e-9)).all():
        raise ValueError(f"calibration takes confidences in [0, 1] and one bin at least, not {bins} bins.")
    edges = np.arange(1, bins) / bins
    found: np.ndarray = np.searchsorted(edges, confidence, side="left")
    return found


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """ECE = sum_m n_m / N |accuracy_m - mean confidence_m| over bins of equal width, from (N,) each.

    Raises ``ValueError`` as ``confidence_bins`` does.
    Source: Naeini et al., AAAI 2015; Guo et al., ICML 2017, Eq. 3.
    """
    gaps = np.bincount(confidence_bins(confidence, bins), weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def calibration_interval(
    confidence: np.ndarray, correct: np.ndarray, bins: int, rng: np.random.Generator, level: float = _LEVEL
) -> tuple[Interval, float]:
    """Interval of the calibration error, and its mean for a calibrated probe of the same confidences.

    v - (m - v) - z s to v + z s, within [0, 1]: m and s are mean and standard deviation of the error over
    a bootstrap of images, z the normal quantile. The lower limit is 0 where v is not above the ``level``
    quantile of the errors of labels drawn from the confidences. It held the error of 15 equal bins 91 to
    98 times in a hundred for 200 to 3,000 images. Raises ``ValueError`` for fewer than two images, or as
    ``confidence_bins`` does.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap 1993, Sec. 10.2 and 13.3; Broecker and
    Smith, Weather and Forecasting 2007 (labels drawn from the confidences).
    """
    n, places = len(confidence), confidence_bins(confidence, bins)
    if n < 2:
        raise ValueError("one image gives no interval.")
    used, places = np.unique(places, return_inverse=True)
    table = np.zeros((n, len(used)))
    table[np.arange(n), places] = correct - confidence
    member = np.zeros((n, len(used)))
    member[np.arange(n), places] = 1
    drawn, calibrated = [], []
    expected = confidence @ member
    for size in _batches(n):
        drawn.append(np.abs(resample_counts(rng, size, n, np.uint32) @ table).sum(axis=1) / n)
        right = rng.random((size, n), dtype=np.float32) < confidence
        calibrated.append(np.abs(right @ member - expected).sum(axis=1) / n)
    value, null, errors = (
        calibration_error(confidence, correct, bins),
        np.concatenate(calibrated),
        np.concatenate(drawn),
    )
    reach = norm.ppf((1 + level) / 2) * errors.std()
    noise = value <= np.quantile(null, level)
    interval = Interval(
        low=0.0 if noise else max(0.0, min(value, 2 * value - errors.mean()) - reach),
        high=min(1.0, value + reach),
        level=level,
        method=f"spread over a bootstrap of {n:,} images, {_DRAWS:,} resamples; from 0 if noise may be all",
    )
    return interval, float(null.mean())


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-log softmax(z)[y] of logits (N, K), in nats: (N,)."""
    found: np.ndarray = -log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return found


def brier_scores(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """sum_k (softmax(z)_k - [k = y])^2 of logits (N, K): (N,) in [0, 2].

    Source: Brier, Monthly Weather Review 1950, Eq. 2: the sum over classes, without a half for two.
    """
    wrong = np.exp(log_softmax(logits, axis=1))
    wrong[np.arange(len(labels)), labels] -= 1
    found: np.ndarray = np.square(wrong).sum(axis=1)
    return found


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T in [1 / HOTTEST, HOTTEST] that minimises the mean of -log softmax(z / T)[y] over (N, K).

    The mean is convex in 1 / T. Raises ``ValueError`` where every row is right: the colder, the better then.
    Source: Guo et al., ICML 2017, Sec. 4.2.
    """
    if (logits.argmax(axis=1) == labels).all():
        raise ValueError("every row is right, so no temperature is the best.")
    best = minimize_scalar(
        lambda slope: float(negative_log_likelihood(logits * np.exp(slope), labels).mean()),
        bounds=(-np.log(HOTTEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(np.exp(-best.x))


def compute(inputs: "MetricInputs") -> dict[str, Estimate]:
    """The metric ``calibration``: how far the confidence of the linear probe is from its accuracy.

    Formula: ECE = sum_m n_m / N |accuracy_m - mean confidence_m| over 15 bins of equal width, bin m being
        (m / 15, (m+1) / 15], with the largest probability as confidence; NLL = mean of -log p_y, in nats;
        Brier = mean of sum_k (p_k - [k = y])^2. Each once more after division of the logits by a temperature,
        which minimises the NLL of the validation images of the probe, by a probe that has not seen them.
    Shapes: logits (m, K) of the m test images, of the probe on embeddings (N, D).
    Range: ECE 0 to 1; NLL 0 to infinity, log K for a probe that knows nothing; Brier 0 to 2, 1 - 1/K for it.
    Typical: for pixels of 8-pixel digits ECE .04 (.02 scaled), NLL .10, Brier .04; for random features, with
        ten classes, ECE .02 to .03, NLL 2.31, Brier .90, and .13, 2.48 and .93 once in six, where noise chose
        a weak penalty, all measured.
    High: the probabilities are not what they say: mostly too sure, since a probe with a weak penalty is.
    Low: among images of one confidence about so many are right. A probe that always names the shares of the
        classes has this too; read it beside the accuracy.
    Bias: over for ECE, since noise does not cancel in |.|; ``ece_if_calibrated`` in the details is what
        noise alone gives. NLL and Brier are unbiased for this probe. All are over the images alike, also
        where classes are uneven.
    Source: Guo et al., ICML 2017, Eq. 3 and Sec. 4.2; Brier, Monthly Weather Review 1950.
    """
    probe, rng, bins = fitted(inputs), inputs.rng(), inputs.options["bins"]
    search, truth = probe.search, inputs.labels[inputs.test]
    assert search is not None
    logits = probe.logits(inputs.embeddings[inputs.test])
    main, others = _calibration(logits, truth, bins, rng), _proper("", logits, truth, rng)
    curves, details = [_reliability("as it is", logits, truth, bins)], dict(main.details)
    note = f"Largest probability of the linear probe against its accuracy, in {bins} bins of equal width."
    held = inputs.labels[inputs.train][search.rows]
    if not len(held):
        note += " No class has an image to spare, so no temperature was fitted."
    elif (search.logits.argmax(axis=1) == held).all():
        note += " Every validation image is right, so no temperature is the best."
    else:
        temperature = fit_temperature(search.logits, held)
        logits = logits / temperature
        how = f"Logits divided by {temperature:.3g}, fitted to {len(held):,} validation images."
        scaled = replace(
            _calibration(logits, truth, bins, rng), label="calibration error, scaled", minor=True, note=how
        )
        others |= {"scaled": scaled, **_proper("scaled", logits, truth, rng)}
        curves.append(_reliability(f"temperature {temperature:.3g}", logits, truth, bins))
        details["temperature"] = temperature
        if not 1.01 / HOTTEST < temperature < HOTTEST / 1.01:
            note += f" The temperature {temperature:.3g} is the end of its range."
    return {"": replace(main, note=note, details=details, figures=[_diagram(curves)]), **others}


def _proper(how: str, logits: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> dict[str, Estimate]:
    """NLL and Brier score, with an ending of their names."""
    scores = {
        "nll": ("log loss", "NLL", "nats", negative_log_likelihood(logits, truth)),
        "brier": ("squared loss", "Brier score", "squared error", brier_scores(logits, truth)),
    }
    return {
        f"{name}-{how}".rstrip("-"): Estimate(
            value=values.mean(),
            interval=bootstrap_mean(values, rng) if len(values) > 1 else None,
            no_interval="one test image only",
            label=f"{label}, {how}".removesuffix(", "),
            paper=paper,
            unit=unit,
            minor=True,
        )
        for name, (label, paper, unit, values) in scores.items()
    }


def _calibration(logits: np.ndarray, truth: np.ndarray, bins: int, rng: np.random.Generator) -> Estimate:
    confidence = np.exp(log_softmax(logits, axis=1).max(axis=1))
    correct = first_best(logits) == truth
    interval, noise = None, None
    if len(truth) > 1:
        interval, noise = calibration_interval(confidence, correct, bins, rng)
    return Estimate(
        value=calibration_error(confidence, correct, bins),
        interval=interval,
        no_interval="one test image only",
        bias="over",
        details={
            "reading": "" if noise is None else f"noise alone {number(noise)}",
            "ece_if_calibrated": noise,
            "confidence": confidence.mean(),
            "accuracy": correct.mean(),
        },
    )


def _reliability(name: str, logits: np.ndarray, truth: np.ndarray, bins: int) -> Series:
    confidence = np.exp(log_softmax(logits, axis=1).max(axis=1))
    places, correct = confidence_bins(confidence, bins), first_best(logits) == truth
    _, places, counts = np.unique(places, return_inverse=True, return_counts=True)
    right = np.bincount(places, weights=correct).astype(int)
    bands = [wilson(int(k), int(n)) for k, n in zip(right, counts, strict=True)]
    return Series(
        name=name,
        x=(np.bincount(places, weights=confidence) / counts).tolist(),
        y=(right / counts).tolist(),
        low=[band.low for band in bands],
        high=[band.high for band in bands],
    )


def _diagram(curves: list[Series]) -> Curve:
    return Curve(
        title="reliability of the linear probe",
        x_label="mean confidence of a bin",
        y_label="accuracy",
        series=[*curves, Series(name="calibrated", x=(0, 1), y=(0, 1))],
        note="Below the line of a calibrated probe it is surer than it is right.",
    )


def _batches(n: int) -> Iterator[int]:
    """Sizes of the batches in which resamples of n images are made."""
    most = max(1, _HELD // n)
    for start in range(0, _DRAWS, most):
        yield min(most, _DRAWS - start)

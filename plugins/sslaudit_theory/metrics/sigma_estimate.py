"""From distances within classes to the estimate of 1 - sigma, in whatever space."""

from collections.abc import Sequence

import numpy as np

from sslaudit.figures import Bars, Curve, Figure, Mark, Series
from sslaudit.results import Estimate, Interval
from sslaudit_theory.metrics.heat_map import CLASSES_SHOWN
from sslaudit_theory.metrics.sampling import Sampled
from sslaudit_theory.sigma.curve import sigma_of
from sslaudit_theory.sigma.limits import sigma_upper_limit
from sslaudit_theory.sigma.splits import ClassDistances, Concentration, concentration

LEVEL = 0.95
DELTAS = 32
"""Deltas of a curve, at quantiles of the augmented distances within classes."""
HALVES = 40
"""Random halves of the training images, the same for all recipes and encoders, for paired comparisons."""


def sigma_estimate(
    samples: Sequence[ClassDistances],
    plain: Sequence[np.ndarray],
    sampled: Sampled,
    *,
    quantile: float,
    unit: str,
) -> Estimate:
    """1 - sigma of the worst class at one delta, with the whole curve beside it.

    ``plain`` are the distances of the training images of each class as they are, without augmentation:
    delta is their ``quantile``, so it is one number for all recipes. The value is that of the largest
    clique among training images. The interval is made on the test images, from the upper limit of
    their clique to the lower one of a star that the training images chose, for all classes at once.
    """
    among = [matrix[np.triu_indices(len(matrix), 1)] for matrix in plain]
    if not (pooled := np.concatenate(among)).size:
        return Estimate.not_applicable("no class has two training images")
    delta = float(np.quantile(pooled, quantile, method="inverted_cdf"))
    grid = _grid(samples, delta)
    side = 1 - (1 - LEVEL) / (2 * len(samples))
    found = concentration(samples, grid, classes=sampled.classes, level=side)
    at = int(np.searchsorted(grid, delta))
    cliques = (found.test_high[:, at] * found.n_test).round().astype(int).tolist()
    high = np.array(
        [sigma_upper_limit(k, n, side) for k, n in zip(cliques, found.n_test.tolist(), strict=True)]
    )
    worst = int(found.train_low[:, at].argmin())
    value = float(found.train_low[worst, at])
    exact = bool((found.train_low[:, at] == found.train_high[:, at]).all())
    return Estimate(
        value=1 - value,
        interval=Interval(
            low=1 - max(value, high.min()),
            high=1 - min(value, found.star_lower[:, at].min()),
            level=LEVEL,
            method=(
                "Clopper-Pearson on the test images: sigma is at most the limit of their largest clique, at "
                f"least that of the training images' best star; simultaneous over {len(samples):,} classes"
            ),
        ),
        bias="under",
        note=_note(sampled, delta, unit),
        details={
            "at": _at(delta),
            "delta": delta,
            "quantile": quantile,
            "unit": unit,
            "sigma_clique": value,
            "sigma_clique_upper": found.train_high[:, at].min(),
            "clique_exact": exact,
            "sigma_star_lower": found.star_lower[:, at].min(),
            "worst_class": sampled.names[worst],
            "classes": len(samples),
            "images_a_class": sampled.most,
        },
        figures=_figures(found, sampled, at, high),
        tables={**found.to_tables(), "resamples": _halves(samples, delta, sampled.seed)},
    )


def _halves(samples: Sequence[ClassDistances], delta: float, seed: int) -> list[float]:
    """1 - sigma on random halves of the training images of each class.

    A half drawn without replacement varies about as much as the whole does from sample to sample.
    """
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(HALVES):
        halves = [rng.permutation(len(s.train))[: -(-len(s.train) // 2)] for s in samples]
        sigmas = [
            sigma_of(s.train[np.ix_(rows, rows)], delta).lower / len(rows)
            for s, rows in zip(samples, halves, strict=True)
        ]
        values.append(1 - min(sigmas))
    return values


def _grid(samples: Sequence[ClassDistances], delta: float) -> np.ndarray:
    pooled = np.concatenate([s.train[np.triu_indices(len(s.train), 1)] for s in samples])
    levels = np.quantile(pooled, np.linspace(0, 1, DELTAS - 2), method="inverted_cdf")
    return np.unique(np.concatenate([[0.0, delta], levels]))


def _note(sampled: Sampled, delta: float, unit: str) -> str:
    note = (
        "Share of the worst class outside of its largest part in which any two images have views within "
        f"delta = {delta:.3g} ({unit}); for the drawn views."
    )
    if sampled.capped:
        note += f" On {sampled.most:,} images of each class and split."
    if sampled.left_out:
        note += f" Classes without images in both splits, left out: {sampled.left_out:,}."
    return note


def _at(delta: float) -> str:
    """``delta .521``, ``delta 3.86``."""
    return f"delta {delta:.3g}".replace(" 0.", " .")


def _figures(found: Concentration, sampled: Sampled, at: int, high: np.ndarray) -> tuple[Figure, ...]:
    deltas = found.deltas.tolist()
    least, most = found.train_low.min(axis=0), found.train_high.min(axis=0)
    clique = Series(
        name="largest clique of the training images (optimistic)",
        x=deltas,
        y=(1 - least).tolist(),
        low=(1 - most).tolist(),
        high=(1 - least).tolist(),
    )
    star = Series(
        name=f"upper limit from a star, each delta at {LEVEL:.0%}",
        x=deltas,
        y=(1 - found.star_lower.min(axis=0)).tolist(),
    )
    curve = Curve(
        title="share of the worst class outside its main part, by delta",
        x_label="delta",
        y_label="1 - sigma",
        series=(clique, star),
        marks=(Mark(label=_at(found.deltas[at]), x=found.deltas[at]),),
        note="How much of the worst class lies outside its main part, by how far apart that part may reach.",
    )
    shown = np.argsort(found.train_low[:, at], kind="stable")[:CLASSES_SHOWN]
    values = 1 - found.train_low[shown, at]
    bars = Bars(
        title=f"share of each class outside its main part at {_at(found.deltas[at])}",
        labels=[sampled.names[k] for k in shown],
        values=values.tolist(),
        value_label="1 - sigma",
        low=(1 - np.maximum(high[shown], found.train_low[shown, at])).tolist(),
        high=np.maximum(values, 1 - found.star_lower[shown, at]).tolist(),
        note="The longest bar is the worst class, which the theorem goes by.",
    )
    return curve, bars

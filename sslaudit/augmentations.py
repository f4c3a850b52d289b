"""Recipes ranked by what they do to the data alone, before any encoder is trained."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sslaudit.data import Dataset
from sslaudit.encoder import Preprocess
from sslaudit.errors import MetricError, UsageError
from sslaudit.extraction import Extraction, PixelViews
from sslaudit.inputs import Labels
from sslaudit.kept import KeptEstimates
from sslaudit.measure import Materials, measure
from sslaudit.plan import Plan, make_plan
from sslaudit.recipes import parse_recipe
from sslaudit.registry import Registry
from sslaudit.report.card import MetricRecord

LEVEL = 0.975
"""Share of resamples that must agree: of an interval at 95 % each side keeps 2.5 % out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeRecord:
    """What the metrics found about one recipe."""

    recipe: str
    """As the user wrote it."""
    key: str
    """Canonical text with its version."""
    metrics: tuple[MetricRecord, ...]
    resamples: tuple[float, ...]
    """Values of the last metric on resampled images, the same draws for every recipe; may be empty."""

    def apart_from(self, other: "RecipeRecord") -> bool:
        """Whether nearly all resamples put the two recipes in the same order."""
        pairs = list(zip(self.resamples, other.resamples, strict=True))
        ahead = [sum(mine < theirs for mine, theirs in pairs), sum(mine > theirs for mine, theirs in pairs)]
        return max(ahead) >= LEVEL * len(pairs) > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Recipes on one data set, best first."""

    data: str
    digest: str
    images: int
    views: int
    size: tuple[int, int]
    seed: int
    recipes: tuple[RecipeRecord, ...]

    @property
    def places(self) -> list[int]:
        """1, 2, ...: a recipe has the place of the best one that it is not told apart from."""
        return [
            next(j for j, other in enumerate(self.recipes) if other is one or not one.apart_from(other)) + 1
            for one in self.recipes
        ]


def rank_recipes(
    data: Dataset,
    recipes: Sequence[str],
    *,
    registry: Registry,
    metrics: str = "concentration",
    views: int = 8,
    seed: int = 0,
    size: tuple[int, int] = (32, 32),
    on_recipe: Callable[[str], None] = lambda recipe: None,
) -> Ranking:
    """The recipes in the order of the last metric, best first; ``size`` is that of the views in pixels.

    ``metrics`` must read no encoder. Raises ``UsageError`` when one does, or a recipe is named twice,
    ``RefError`` for an unknown name, and ``MetricError`` when a metric gives no value.
    """
    plan = make_plan(registry, metrics)
    for metric in plan.metrics:
        if not metric.spec.data_scoped:
            raise UsageError(
                f"metric '{metric.term}' reads an encoder; recipes are ranked by the data alone."
            )
    parsed = [(text, parse_recipe(text, registry.recipes.usable())) for text in recipes]
    keys = [recipe.key() for _, recipe in parsed]
    if len(set(keys)) != len(keys):
        raise UsageError("a recipe is named twice.")
    found = []
    with tempfile.TemporaryDirectory(prefix="sslaudit-") as scratch:
        for text, recipe in parsed:
            on_recipe(text)
            how = Extraction(recipe=recipe, views=1 if recipe.identity else views, seed=seed, batch_size=1)
            found.append(_record(plan, data, text, how, Preprocess(size=size), Path(scratch)))
    sign = -1 if plan.metrics[-1].spec.direction == "higher" else 1
    found.sort(key=lambda record: sign * (record.metrics[-1].value or 0.0))
    return Ranking(
        data=data.ref,
        digest=data.digest,
        images=len(data),
        views=views,
        size=size,
        seed=seed,
        recipes=tuple(found),
    )


def _record(
    plan: Plan, data: Dataset, text: str, how: Extraction, geometry: Preprocess, scratch: Path
) -> RecipeRecord:
    measured = measure(
        plan,
        Materials(
            features={},
            pixels=PixelViews(data, how, geometry),
            labels=Labels.of(data),
            train=data.train,
            kept=KeptEstimates({}, scratch, how.of_data(data, geometry)),
            encoder=None,
            views=how.views,
            images=len(data),
            unscorable="",
        ),
        seed=how.seed,
    )
    for record in measured.records:
        if record.value is None:
            raise MetricError(f"recipe '{text}' has no {record.term}: {record.reason}.")
    resamples = measured.tables[plan.metrics[-1].key].get("resamples", ())
    return RecipeRecord(
        recipe=text, key=how.recipe.key(), metrics=measured.records, resamples=tuple(resamples)
    )

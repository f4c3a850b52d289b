"""The passes of encoders over images: recipe, precision, batches, and the features that come of them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from sslaudit.checks import PROBE_IMAGES, check_cache
from sslaudit.data import Dataset
from sslaudit.encoder import Encoder
from sslaudit.extraction import (
    AlteredImages,
    Choice,
    Embedder,
    Extraction,
    OnProgress,
    PixelViews,
    Progress,
    features_of,
    gather,
    parts_of,
    pick_batch_size,
    pick_workers,
)
from sslaudit.extraction.precision import SettledOnce, precision_floor
from sslaudit.extraction.speed import images_per_second
from sslaudit.plan import Plan, Space
from sslaudit.recipes import Recipe, parse_recipe
from sslaudit.registry import Registry
from sslaudit.settings import Settings
from sslaudit.store import Features
from sslaudit.world import World

USUAL = "simclr"
"""The recipe where nothing names one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """Features, and what is known about how they came about."""

    how: Extraction
    embedder: Embedder
    choice: Choice
    probe: Tensor
    """The identity view of the first images, uint8."""
    floor: float | None
    features: dict[Space, Features]
    cached: int
    images_per_second: float | None
    """Through the encoder alone, on this device; None where it was not measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Passes:
    """How one run extracts features, of one encoder after another."""

    registry: Registry
    settings: Settings
    views: bool
    """Whether any metric reads views."""
    device: str
    world: World
    on_progress: OnProgress
    on_message: Callable[[str], None]
    settled: SettledOnce = field(default_factory=SettledOnce)
    """What ``--precision auto`` settled on."""

    def extracted(self, encoder: Encoder, data: Dataset, cache: Path, plan: Plan) -> Extracted:
        """Features of ``data`` in the spaces of ``plan``. Raises ``DataError`` and ``StoreError``."""
        how = self.extraction(encoder)
        probe = PixelViews(data, replace(how, views=1), encoder.preprocess).head(PROBE_IMAGES)[:, 0]
        choice = self._precision(encoder, data, how, cache)
        embedder = Embedder(encoder, replace(how, precision=choice.precision), on_message=self.on_message)
        how = replace(embedder.how, batch_size=gather(self.world, embedder.rows)[0])
        features: dict[Space, Features] = {}
        cached = 0
        for space in plan.spaces:
            if space == "embedding" or encoder.project is not None:
                one = embedder.of(replace(how, space=space))
                features[space], there = self._features(one, data, cache, probe, features.get("embedding"))
                cached += there
        speed = None if self.world.rank else images_per_second(embedder, probe, len(data) * how.views)
        gather(self.world, None)  # the others rest meanwhile
        if cached:
            total = len(data) * how.views * len(features)
            self.on_message(f"features: {cached:,} of {total:,} views read from the cache.")
        return Extracted(
            how=how,
            embedder=embedder,
            choice=choice,
            probe=probe,
            floor=precision_floor(embedder, probe),
            features=features,
            cached=cached,
            images_per_second=speed,
        )

    def altered(self, found: Extracted, space: Space, data: Dataset, cache: Path) -> AlteredImages:
        """The images of ``data`` through alterations, in one space."""
        embedder = found.embedder.of(replace(found.how, space=space))
        return AlteredImages(embedder, data, cache=cache, on_progress=self.on_progress)

    def own_recipe(self, encoder: Encoder, how: Extraction) -> bool:
        """Whether the views are drawn as the encoder was trained, by what its file says."""
        own = encoder.facts.get("recipe")
        return own is not None and self.recipe(own).key() == how.recipe.key()

    def extraction(self, encoder: Encoder) -> Extraction:
        """How to extract; in float32 until the precision is chosen."""
        text, workers = self.settings.recipe, self.settings.workers
        if text == "auto":
            text = encoder.facts.get("recipe", USUAL)
        recipe = self.recipe(text)
        return Extraction(
            recipe=recipe,
            views=1 if recipe.identity or not self.views else self.settings.views,
            seed=self.settings.seed,
            views_mode=self.settings.views_mode,
            compiled=self.settings.compiled,
            batch_size=self.settings.batch_size or pick_batch_size(encoder.preprocess.size, self.device),
            workers=pick_workers(self.device) if workers is None else workers,
            device=self.device,
        )

    def _precision(self, encoder: Encoder, data: Dataset, how: Extraction, cache: Path) -> Choice:
        """The precision asked for, or what ``auto`` settles on for this run."""
        if self.settings.precision in ("fp32", "bf16", "fp16"):
            return Choice(precision=self.settings.precision, reason="asked for")  # type: ignore[arg-type]
        recipe = self.recipe(USUAL) if how.recipe.identity else how.recipe

        def pairs() -> Tensor:
            views = PixelViews(data, replace(how, recipe=recipe, views=3), encoder.preprocess)
            return views.head(PROBE_IMAGES)[:, 1:]

        mine = None if self.world.rank else self.settled.of(encoder, data, how, pairs, cache=cache)
        choice = gather(self.world, mine)[0]
        assert choice is not None  # rank 0 made it
        return choice

    def _features(
        self, embedder: Embedder, data: Dataset, cache: Path, probe: Tensor, embedded: Features | None
    ) -> tuple[Features, int]:
        """Features and how many views of them, over all processes, came from the cache."""
        encoder, how = embedder.encoder, embedder.how
        cached = 0

        def watch(progress: Progress) -> None:
            nonlocal cached
            cached = progress.cached
            self.on_progress(progress)

        def compute() -> Features:
            return features_of(
                encoder,
                data,
                how,
                cache=cache,
                embedder=embedder,
                embedded=embedded,
                on_progress=watch,
                world=self.world,
            )

        features = compute()
        if any(gather(self.world, bool(cached) and not check_cache(encoder, probe, features, how))):
            self.on_message("the cached features are not what this encoder computes; computing them again.")
            parts_of(encoder, data, how, cache=cache).drop()
            gather(self.world, None)  # nobody writes before all have dropped
            features = compute()
        return features, sum(gather(self.world, cached))

    def recipe(self, text: str) -> Recipe:
        """The recipe that ``text`` names. Raises ``RefError``."""
        return parse_recipe(text, self.registry.recipes.usable())

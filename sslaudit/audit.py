"""The straight line: reference, encoder, plan, features, checks, estimates, report card."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from torch import Tensor, nn

from sslaudit.checks import (
    PROBE_IMAGES,
    check_behaviour,
    check_cache,
    check_data,
    check_features,
    check_load,
    check_preprocessing,
)
from sslaudit.data import Dataset, subset
from sslaudit.data.groups import group_by
from sslaudit.encoder import Encoder, Override, Preprocess
from sslaudit.errors import EncoderError, UsageError
from sslaudit.extraction import (
    AlteredImages,
    Choice,
    Embedder,
    Extraction,
    OnProgress,
    PixelViews,
    Progress,
    ViewsMode,
    features_of,
    gather,
    parts_of,
    pick_batch_size,
    pick_device,
    pick_workers,
)
from sslaudit.extraction.precision import precision_floor, settled_precision
from sslaudit.inputs import Labels
from sslaudit.kept import KeptEstimates
from sslaudit.loading import load_dataset, load_encoder
from sslaudit.measure import Materials, measure
from sslaudit.plan import Plan, Space, make_plan
from sslaudit.recipes import Recipe, parse_recipe
from sslaudit.refs import EncoderRef
from sslaudit.registry import Registry, installed
from sslaudit.report.card import ReportCard, write_card
from sslaudit.report.records import data_record, encoder_record, identity_columns, provenance
from sslaudit.results import Check, Estimate
from sslaudit.settings import Settings
from sslaudit.store import Features, default_cache, writable
from sslaudit.world import ALONE, World

_USUAL = "simclr"
"""The recipe where nothing names one."""


def evaluate(
    ref: str | os.PathLike[str] | nn.Module | Encoder,
    data: str | os.PathLike[str] | Dataset | object,
    *,
    metrics: str | Sequence[str] | None = None,
    space: Space = "embedding",
    recipe: str = "auto",
    views: int = 8,
    views_mode: ViewsMode = "per-image",
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    compiled: bool = False,
    batch_size: int | None = None,
    workers: int | None = None,
    max_images: int | None = None,
    per_class: int | None = None,
    group: str | None = None,
    cache: str | Path | bool | None = None,
    output: str | Path | None = None,
    preprocess: Preprocess | None = None,
    override: Override | None = None,
) -> ReportCard:
    """Audit one encoder on one data set.

    ``ref`` is a reference (``timm:resnet18``, ``runs/simclr.pt``), a path, a module with
    ``preprocess``, or an ``Encoder``; ``data`` is a reference (``digits``, a folder), a path, a
    ``Dataset``, or whatever else ``load_dataset`` takes. ``metrics`` names them with their options
    (``"knn(k=5),alignment"``); with ``space="projection"`` they read what the projector of the
    checkpoint makes of the embeddings. ``recipe="auto"`` takes the recipe that the checkpoint
    records, else ``simclr``, marked as assumed. ``precision="auto"`` takes a lower precision where
    it is faster and stays close to float32. ``group`` names a column or an expression: images of
    one group stand on one side of the split. ``cache`` is a folder, None for the default one, False
    for none. ``override`` wins over the encoder's own preprocessing. With ``output`` the card is
    also written to that folder. Raises ``SslauditError`` kinds.
    """
    settings = Settings(
        metrics=metrics,
        space=space,
        recipe=recipe,
        views=views,
        views_mode=views_mode,
        seed=seed,
        device=device,
        precision=precision,
        compiled=compiled,
        batch_size=batch_size,
        workers=workers,
        max_images=max_images,
        per_class=per_class,
        group=group,
        cache=cache,
        override=override,
    )
    line = Line(installed(), settings)
    encoder = line.load(ref, preprocess=preprocess)
    card = line.run(encoder, line.open(data))
    if output is not None:
        write_card(card, Path(output))
    return card


class Line:
    """One run's choices, checked before any work; ``run`` audits one encoder after another."""

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        *,
        on_progress: OnProgress | None = None,
        on_message: Callable[[str], None] | None = None,
        on_metric: Callable[[str], None] | None = None,
        world: World = ALONE,
    ) -> None:
        self.registry = registry
        self.world = world
        self.settings = settings
        if world.size > 1 and settings.cache is False:
            raise _unshared(world, "it is switched off")
        self.plan: Plan = make_plan(registry, settings.metrics, space=settings.space)
        self.device = world.device(pick_device(settings.device))
        if settings.recipe != "auto":
            self._recipe(settings.recipe)
        self._of_data: tuple[Dataset, list[Check]] | None = None
        self._kept: dict[str, dict[str, Estimate]] = {}
        self._on_progress = on_progress or (lambda progress: None)
        self._say = on_message or (lambda message: None)
        self._on_metric = on_metric or (lambda term: None)

    def load(
        self,
        ref: str | os.PathLike[str] | EncoderRef | nn.Module | Encoder,
        *,
        preprocess: Preprocess | None = None,
    ) -> Encoder:
        """The encoder with the overrides. Raises ``EncoderError`` when it lacks the projector asked for."""
        encoder = load_encoder(
            ref,
            device=self.device,
            preprocess=preprocess,
            override=self.settings.override,
            registry=self.registry,
        )
        if self.settings.space == "projection" and encoder.project is None:
            raise EncoderError(
                f"'{encoder.ref}' has no projector, and --space projection scores what one gives. "
                "Leave --space out to score the embeddings."
            )
        return encoder

    def open(self, data: str | os.PathLike[str] | Dataset | object) -> Dataset:
        """The data set, with the groups and the images that were asked for."""
        chosen = load_dataset(data, registry=self.registry)
        if self.settings.group is not None:
            chosen = group_by(chosen, self.settings.group)
        return subset(chosen, max_images=self.settings.max_images, per_class=self.settings.per_class)

    def run(self, encoder: Encoder, data: Dataset) -> ReportCard:
        """The report card of ``encoder`` on ``data``."""
        started, clock = datetime.now(UTC), time.perf_counter()
        with self._cache() as cache:
            plan = self.plan.on(projector=encoder.project is not None)
            found = self._extracted(encoder, data, cache, plan)
            views = found.how.of_data(data, encoder.preprocess)
            checks = self._checks(encoder, data, found, cache)
            measured = measure(
                plan,
                Materials(
                    features=found.features,
                    pixels=PixelViews(data, found.how, encoder.preprocess),
                    altered={space: self._altered(found, space, data, cache) for space in found.features},
                    labels=Labels.of(data),
                    train=data.train,
                    kept=KeptEstimates(self._kept, cache / "estimates", views),
                    encoder=encoder,
                    views=found.how.views,
                    images=len(data),
                    unscorable=_unscorable(checks, encoder),
                    device=self.device,
                ),
                seed=self.settings.seed,
                on_metric=self._on_metric,
            )
        return ReportCard(
            encoder=encoder_record(encoder),
            data=data_record(data, found.how, encoder, assumed=self._assumed(encoder)),
            checks=tuple(checks),
            metrics=measured.records,
            problems=tuple(measured.problems),
            provenance=provenance(
                self.registry, found.how, found.choice, found.floor, found.cached, started, clock
            ),
            samples={**identity_columns(data), **measured.samples},
        )

    def assist(self, encoder: Encoder, data: Dataset) -> None:
        """The share of this process in the extraction of ``run``, which rank 0 does."""
        with self._cache() as cache:
            self._extracted(encoder, data, cache, self.plan.on(projector=encoder.project is not None))

    def _extracted(self, encoder: Encoder, data: Dataset, cache: Path, plan: Plan) -> "_Extracted":
        how = self._extraction(encoder)
        probe = PixelViews(data, replace(how, views=1), encoder.preprocess).head(PROBE_IMAGES)[:, 0]
        choice = self._precision(encoder, data, how, cache)
        embedder = Embedder(encoder, replace(how, precision=choice.precision), on_message=self._say)
        how = replace(embedder.how, batch_size=gather(self.world, embedder.rows)[0])
        features: dict[Space, Features] = {}
        cached = 0
        for space in plan.spaces:
            if space == "embedding" or encoder.project is not None:
                one = embedder.of(replace(how, space=space))
                features[space], there = self._features(one, data, cache, probe, features.get("embedding"))
                cached += there
        if cached:
            total = len(data) * how.views * len(features)
            self._say(f"features: {cached:,} of {total:,} views read from the cache.")
        return _Extracted(
            how=how,
            embedder=embedder,
            choice=choice,
            probe=probe,
            floor=precision_floor(embedder, probe),
            features=features,
            cached=cached,
        )

    def _checks(self, encoder: Encoder, data: Dataset, found: "_Extracted", cache: Path) -> list[Check]:
        if self._of_data is None or self._of_data[0] is not data:
            self._of_data = data, check_data(data)  # the same for every encoder
        checks = [check_load(encoder.load), *self._of_data[1]]
        checks += check_behaviour(encoder, found.probe, found.how)
        for space, first in list(found.features.items())[:1]:
            checks += check_features(first)
            embedder = found.embedder.of(replace(found.how, space=space))
            checks += check_preprocessing(embedder, data, first, cache=cache)
        return checks

    def _altered(self, found: "_Extracted", space: Space, data: Dataset, cache: Path) -> AlteredImages:
        embedder = found.embedder.of(replace(found.how, space=space))
        return AlteredImages(embedder, data, cache=cache, on_progress=self._on_progress)

    def _assumed(self, encoder: Encoder) -> bool:
        """Whether nothing names the recipe."""
        return self.settings.recipe == "auto" and "recipe" not in encoder.facts

    def _extraction(self, encoder: Encoder) -> Extraction:
        """How to extract; in float32 until the precision is chosen."""
        text, workers = self.settings.recipe, self.settings.workers
        if text == "auto":
            text = encoder.facts.get("recipe", _USUAL)
        recipe = self._recipe(text)
        return Extraction(
            recipe=recipe,
            views=1 if recipe.identity or not self.plan.views else self.settings.views,
            seed=self.settings.seed,
            views_mode=self.settings.views_mode,
            compiled=self.settings.compiled,
            batch_size=self.settings.batch_size or pick_batch_size(encoder.preprocess.size, self.device),
            workers=pick_workers(self.device) if workers is None else workers,
            device=self.device,
        )

    def _precision(self, encoder: Encoder, data: Dataset, how: Extraction, cache: Path) -> Choice:
        """The precision asked for, or what ``auto`` settles on for this encoder, data and device."""
        if self.settings.precision in ("fp32", "bf16", "fp16"):
            return Choice(precision=self.settings.precision, reason="asked for")  # type: ignore[arg-type]
        recipe = self._recipe(_USUAL) if how.recipe.identity else how.recipe

        def pairs() -> Tensor:
            views = PixelViews(data, replace(how, recipe=recipe, views=3), encoder.preprocess)
            return views.head(PROBE_IMAGES)[:, 1:]

        mine = None if self.world.rank else settled_precision(encoder, data, how, pairs, cache=cache)
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
            self._on_progress(progress)

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
            self._say("the cached features are not what this encoder computes; computing them again.")
            parts_of(encoder, data, how, cache=cache).drop()
            gather(self.world, None)  # nobody writes before all have dropped
            features = compute()
        return features, sum(gather(self.world, cached))

    def _recipe(self, text: str) -> Recipe:
        return parse_recipe(text, self.registry.recipes.usable())

    @contextlib.contextmanager
    def _cache(self) -> Iterator[Path]:
        """The folder of features, or one that lasts as long as the run."""
        wanted = self.settings.cache
        folder = default_cache() if wanted is None or isinstance(wanted, bool) else Path(wanted)
        if wanted is not False and writable(folder):
            yield folder
            return
        if self.world.size > 1:
            raise _unshared(self.world, f"{folder} cannot be written")
        if wanted is not False:
            self._say(f"the cache {folder} cannot be written; running without a cache.")
        with tempfile.TemporaryDirectory(prefix="sslaudit-") as scratch:
            yield Path(scratch)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Extracted:
    """Features, and what is known about how they came about."""

    how: Extraction
    embedder: Embedder
    choice: Choice
    probe: Tensor
    """The identity view of the first images, uint8."""
    floor: float | None
    features: dict[Space, Features]
    cached: int


def _unshared(world: World, why: str) -> UsageError:
    return UsageError(
        f"{world.size} processes share their work through the cache, and {why}; give --cache FOLDER."
    )


def _unscorable(checks: Sequence[Check], encoder: Encoder) -> str:
    """Why every score would be meaningless; a PARTIAL load was asked for and is scored."""
    fatal = {"finite"} if encoder.load.missing else {"finite", "load"}
    return "; ".join(c.message for c in checks if c.status == "fail" and c.name in fatal)

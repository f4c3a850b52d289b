"""The straight line: reference, encoder, plan, features, checks, estimates, report card."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
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
from sslaudit.encoder import Encoder, Override, Preprocess
from sslaudit.errors import EncoderError, UsageError
from sslaudit.extraction import (
    Extraction,
    OnProgress,
    PixelViews,
    Precision,
    Progress,
    ViewsMode,
    features_of,
    forget,
    pick_batch_size,
    pick_device,
    precision_floor,
)
from sslaudit.inputs import Labels
from sslaudit.loading import load_dataset, load_encoder
from sslaudit.measure import Materials, measure
from sslaudit.plan import Plan, Space, make_plan
from sslaudit.recipes import Recipe, parse_recipe
from sslaudit.refs import EncoderRef
from sslaudit.registry import Registry, installed
from sslaudit.report.card import ReportCard, write_card
from sslaudit.report.records import data_record, encoder_record, identity_columns, provenance
from sslaudit.results import Check
from sslaudit.store import Features, default_cache, writable


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the user may choose about a run."""

    metrics: str | Sequence[str] | None = None
    space: Space = "embedding"
    recipe: str = "auto"
    views: int = 8
    views_mode: ViewsMode = "per-image"
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    workers: int = 0
    max_images: int | None = None
    per_class: int | None = None
    cache: str | Path | bool | None = None
    """A folder; None for the default one; False for none."""
    override: Override | None = None

    def __post_init__(self) -> None:
        if self.space not in ("embedding", "projection"):
            raise UsageError(f"--space {self.space} is neither embedding nor projection.")
        for option, number in (("--views", self.views), ("--batch-size", self.batch_size)):
            if number is not None and number < 1:
                raise UsageError(f"{option} {number} is below 1.")
        if self.workers < 0:
            raise UsageError(f"--workers {self.workers} is below 0.")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed} is below 0.")
        if self.precision not in ("auto", "fp32", "bf16", "fp16"):
            raise UsageError(f"--precision {self.precision} is none of auto, fp32, bf16, fp16.")


def evaluate(
    ref: str | os.PathLike[str] | nn.Module | Encoder,
    data: str | os.PathLike[str] | Dataset,
    *,
    metrics: str | Sequence[str] | None = None,
    space: Space = "embedding",
    recipe: str = "auto",
    views: int = 8,
    views_mode: ViewsMode = "per-image",
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    workers: int = 0,
    max_images: int | None = None,
    per_class: int | None = None,
    cache: str | Path | bool | None = None,
    output: str | Path | None = None,
    preprocess: Preprocess | None = None,
    override: Override | None = None,
) -> ReportCard:
    """Audit one encoder on one data set.

    ``ref`` is a reference (``timm:resnet18``, ``runs/simclr.pt``), a path, a module with
    ``preprocess``, or an ``Encoder``; ``data`` is a reference (``digits``, a folder), a path, or a
    ``Dataset``. ``metrics``
    names them with their options (``"knn(k=5),alignment"``); with ``space="projection"`` they read
    what the projector of the checkpoint makes of the embeddings. ``recipe="auto"`` takes the recipe
    that the checkpoint records, else ``simclr``, marked as assumed. ``cache`` is a folder, None for
    the default one, False for none. ``override`` wins over the encoder's own preprocessing. With
    ``output`` the card is also written to that folder. Raises ``SslauditError`` kinds.
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
        batch_size=batch_size,
        workers=workers,
        max_images=max_images,
        per_class=per_class,
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
    ) -> None:
        self.registry = registry
        self.settings = settings
        self.plan: Plan = make_plan(registry, settings.metrics, space=settings.space)
        self.device = pick_device(settings.device)
        if settings.recipe != "auto":
            self._recipe(settings.recipe)
        self._on_progress = on_progress or (lambda progress: None)
        self._say = on_message or (lambda message: None)

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

    def open(self, data: str | os.PathLike[str] | Dataset) -> Dataset:
        """The data set, with the images that were asked for."""
        chosen = load_dataset(data, registry=self.registry)
        return subset(chosen, max_images=self.settings.max_images, per_class=self.settings.per_class)

    def run(self, encoder: Encoder, data: Dataset) -> ReportCard:
        """The report card of ``encoder`` on ``data``."""
        with tempfile.TemporaryDirectory(prefix="sslaudit-") as scratch:
            return self._run(encoder, data, self._cache(Path(scratch)))

    def _run(self, encoder: Encoder, data: Dataset, cache: Path) -> ReportCard:
        started, clock = datetime.now(UTC), time.perf_counter()
        how, assumed = self._extraction(encoder)
        probe = PixelViews(data, replace(how, views=1), encoder.preprocess).head(PROBE_IMAGES)
        checks = [check_load(encoder.load), check_data(data), *check_behaviour(encoder, probe, how)]
        features, cached = self._features(encoder, data, how, cache, probe)
        for space, first in list(features.items())[:1]:
            checks += check_features(first)
            checks += check_preprocessing(encoder, data, first, replace(how, space=space), cache=cache)
        measured = measure(
            self.plan,
            Materials(
                features=features,
                pixels=PixelViews(data, how, encoder.preprocess),
                labels=_labels(data),
                encoder=encoder,
                views=how.views,
                images=len(data),
                unscorable=_unscorable(checks, encoder),
            ),
            seed=self.settings.seed,
        )
        return ReportCard(
            encoder=encoder_record(encoder),
            data=data_record(data, how, encoder, assumed=assumed),
            checks=tuple(checks),
            metrics=measured.records,
            problems=tuple(measured.problems),
            provenance=provenance(
                self.registry, how, precision_floor(encoder, probe, how), cached, started, clock
            ),
            samples={**identity_columns(data), **measured.samples},
        )

    def _extraction(self, encoder: Encoder) -> tuple[Extraction, bool]:
        text, assumed = self.settings.recipe, False
        if text == "auto":
            recorded = encoder.facts.get("recipe")
            text, assumed = recorded or "simclr", recorded is None
        recipe = self._recipe(text)
        precision: Precision = "fp32"
        if self.settings.precision in ("bf16", "fp16"):
            precision = self.settings.precision  # type: ignore[assignment]
        how = Extraction(
            recipe=recipe,
            views=1 if recipe.identity or not self.plan.views else self.settings.views,
            seed=self.settings.seed,
            views_mode=self.settings.views_mode,
            precision=precision,
            batch_size=self.settings.batch_size or pick_batch_size(encoder.preprocess.size, self.device),
            workers=self.settings.workers,
            device=self.device,
        )
        return how, assumed

    def _features(
        self, encoder: Encoder, data: Dataset, how: Extraction, cache: Path, probe: Tensor
    ) -> tuple[dict[Space, Features], int]:
        features: dict[Space, Features] = {}
        cached = 0

        def watch(progress: Progress) -> None:
            nonlocal cached
            cached = progress.cached
            self._on_progress(progress)

        total = 0
        for space in self.plan.spaces:
            if space == "projection" and encoder.project is None:
                continue
            one = replace(how, space=space)
            features[space] = features_of(encoder, data, one, cache=cache, on_progress=watch)
            if cached and not check_cache(encoder, probe, features[space], one):
                self._say("the cached features are not what this encoder computes; computing them again.")
                forget(encoder, data, one, cache=cache)
                features[space] = features_of(encoder, data, one, cache=cache, on_progress=watch)
            total += cached
        if total:
            self._say(
                f"features: {total:,} of {len(data) * how.views * len(features):,} views read from the cache."
            )
        return features, total

    def _recipe(self, text: str) -> Recipe:
        return parse_recipe(text, self.registry.recipes.usable())

    def _cache(self, scratch: Path) -> Path:
        wanted = self.settings.cache
        if wanted is False:
            return scratch
        folder = default_cache() if wanted is None or wanted is True else Path(wanted)
        if writable(folder):
            return folder
        self._say(f"the cache {folder} cannot be written; running without a cache.")
        return scratch


def _unscorable(checks: Sequence[Check], encoder: Encoder) -> str:
    """Why every score would be meaningless; a PARTIAL load was asked for and is scored."""
    fatal = {"finite"} if encoder.load.missing else {"finite", "load"}
    return "; ".join(c.message for c in checks if c.status == "fail" and c.name in fatal)


def _labels(data: Dataset) -> Labels | None:
    if data.labels is None:
        return None
    return Labels(values=data.labels, classes=data.classes, train=data.train, test=data.test)

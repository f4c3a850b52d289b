"""The straight line: reference, encoder, plan, features, checks, estimates, report card."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from torch import nn

from sslaudit.anchors import Anchors
from sslaudit.checks import (
    check_behaviour,
    check_data,
    check_features,
    check_load,
    check_preprocessing,
    check_projections,
)
from sslaudit.data import Dataset, subset
from sslaudit.data.groups import group_by
from sslaudit.data.shifts import Shift, prepare_shift
from sslaudit.encoder import Encoder, Override, Preprocess
from sslaudit.errors import EncoderError, UsageError
from sslaudit.extraction import (
    OnProgress,
    PixelViews,
    ViewsMode,
    pick_device,
)
from sslaudit.inputs import Labels
from sslaudit.kept import KeptEstimates
from sslaudit.loading import load_dataset, load_encoder
from sslaudit.measure import Materials, Measured, measure
from sslaudit.named import AuditSuite, read_suite
from sslaudit.passes import Extracted, Passes
from sslaudit.plan import Plan, Space, make_plan
from sslaudit.refs import EncoderRef
from sslaudit.registry import Registry, installed
from sslaudit.report.anchored import AnchorRecord, check_control
from sslaudit.report.card import ReportCard, write_card
from sslaudit.report.records import data_record, encoder_record, identity_columns, provenance
from sslaudit.report.samples import scored_by
from sslaudit.results import Check, Estimate
from sslaudit.settings import Settings
from sslaudit.shift import measure_shift
from sslaudit.store import default_cache, writable
from sslaudit.world import ALONE, World


def evaluate(
    ref: str | os.PathLike[str] | nn.Module | Encoder,
    data: str | os.PathLike[str] | Dataset | object | None = None,
    *,
    suite: str | AuditSuite | None = None,
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
    anchors: bool = True,
    shift: str | os.PathLike[str] | Dataset | object | None = None,
    cache: str | Path | bool | None = None,
    output: str | Path | None = None,
    preprocess: Preprocess | None = None,
    override: Override | None = None,
) -> ReportCard:
    """Audit one encoder on one data set.

    ``ref`` is a reference (``timm:resnet18``, ``runs/simclr.pt``), a path, a module with
    ``preprocess``, or an ``Encoder``; ``data`` is a reference (``digits``, a folder), a path, a
    ``Dataset``, or whatever else ``load_dataset`` takes. ``suite`` names a protocol that chooses what it
    is about, the data too where none are given. ``metrics`` names them with their options
    (``"knn(k=5),alignment"``); with ``space="projection"`` they read what the projector of the
    checkpoint makes of the embeddings. ``recipe="auto"`` takes the recipe that the checkpoint
    records, else ``simclr``, marked as assumed. ``precision="auto"`` takes a lower precision where
    it is faster and stays close to float32. ``group`` names a column or an expression: images of
    one group stand on one side of the split. ``anchors=False`` leaves out raw pixels and the untrained
    copy, which are measured beside the encoder. ``cache`` is a folder, None for the default one, False
    for none. ``override`` wins over the encoder's own preprocessing. With ``output`` the card is
    also written to that folder. Raises ``SslauditError`` kinds.
    """
    protocol = read_suite(suite) if isinstance(suite, str) else suite
    settings = Settings(
        suite=protocol,
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
        anchors=anchors,
        shift=shift,
        cache=cache,
        override=override,
    )
    if data is None and (protocol is None or (data := protocol.data) is None):
        raise UsageError("there are no data to evaluate on: give data, or a suite that names them.")
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
        self._shift: tuple[Dataset, Shift] | None = None
        self._of_data: tuple[Dataset, list[Check]] | None = None
        self._kept: dict[str, dict[str, Estimate]] = {}
        self._say = on_message or (lambda message: None)
        self._on_metric = on_metric or (lambda term: None)
        self._passes = Passes(
            registry=registry,
            settings=settings,
            views=self.plan.views,
            device=self.device,
            world=world,
            on_progress=on_progress or (lambda progress: None),
            on_message=self._say,
        )
        if settings.recipe != "auto":
            self._passes.recipe(settings.recipe)

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
        """The data set, with the groups and the images that were asked for.

        Raises ``UsageError`` when it is not that of the suite.
        """
        chosen = load_dataset(data, registry=self.registry)
        if self.settings.group is not None:
            chosen = group_by(chosen, self.settings.group)
        chosen = subset(chosen, max_images=self.settings.max_images, per_class=self.settings.per_class)
        if self.settings.suite is not None:
            self.settings.suite.check_data(chosen.digest, chosen.ref)
        self._shifted(chosen)
        return chosen

    def run(self, encoder: Encoder, data: Dataset) -> ReportCard:
        """The report card of ``encoder`` on ``data``."""
        started, clock = datetime.now(UTC), time.perf_counter()
        with self.cache() as cache:
            shift = self._shifted(data)
            plan = self.plan.on(projector=encoder.project is not None)
            found = self._passes.extracted(encoder, data, cache, plan)
            views = found.how.of_data(data, encoder.preprocess)
            checks = self._checks(encoder, data, found, cache)
            measured = measure(
                plan,
                Materials(
                    features=found.features,
                    pixels=PixelViews(data, found.how, encoder.preprocess),
                    altered={
                        space: self._passes.altered(found, space, data, cache) for space in found.features
                    },
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
            anchors = self._anchors(encoder, data, found, plan, measured, cache)
            shifted = (
                None
                if shift is None
                else measure_shift(
                    shift,
                    data,
                    found.embedder.of(found.how),
                    found.features,
                    plan,
                    measured,
                    cache=cache,
                    seed=self.settings.seed,
                    on_progress=self._passes.on_progress,
                    on_metric=self._on_metric,
                )
            )
        leading = next((r.term for r in measured.records if r.group == "quality" and r.interval), "")
        paired = scored_by(leading, measured.samples)  # one that says nothing of single images cannot be
        if paired and (control := check_control(leading, anchors)) is not None:
            checks.append(control)
        return ReportCard(
            encoder=encoder_record(encoder),
            data=data_record(
                data,
                found.how,
                encoder,
                assumed=self.settings.recipe == "auto" and "recipe" not in encoder.facts,
                own=self._passes.own_recipe(encoder, found.how),
            ),
            suite=None if self.settings.suite is None else self.settings.suite.label,
            checks=tuple(checks),
            metrics=measured.records,
            anchors=anchors,
            shift=shifted,
            problems=tuple(measured.problems),
            provenance=provenance(
                self.registry,
                found.how,
                found.choice,
                floor=found.floor,
                cached=found.cached,
                speed=found.images_per_second,
                started=started,
                clock=clock,
            ),
            samples={**identity_columns(data), **measured.samples},
        )

    def assist(self, encoder: Encoder, data: Dataset) -> None:
        """The share of this process in the extraction of ``run``, which rank 0 does."""
        with self.cache() as cache:
            self._passes.extracted(encoder, data, cache, self.plan.on(projector=encoder.project is not None))

    def _shifted(self, data: Dataset) -> Shift | None:
        """What ``--shift`` names, matched with ``data``. Raises ``DataError``."""
        if self.settings.shift is None:
            return None
        if self._shift is None or self._shift[0] is not data:
            other = load_dataset(self.settings.shift, registry=self.registry)
            shift = prepare_shift(
                other, data, max_images=self.settings.max_images, per_class=self.settings.per_class
            )
            self._shift = data, shift
        return self._shift[1]

    def _checks(self, encoder: Encoder, data: Dataset, found: Extracted, cache: Path) -> list[Check]:
        if self._of_data is None or self._of_data[0] is not data:
            self._of_data = data, check_data(data)  # the same for every encoder
        checks = [check_load(encoder.load), *self._of_data[1]]
        checks += check_behaviour(encoder, found.probe, found.how)
        for space, first in list(found.features.items())[:1]:
            checks += check_features(first, data, precision=found.how.precision)
            embedder = found.embedder.of(replace(found.how, space=space))
            if space == "embedding" and encoder.project is not None:
                checks.append(
                    check_projections(first, embedder.projections, data, precision=found.how.precision)
                )
            checks += check_preprocessing(embedder, data, first, cache=cache)
        return checks

    def _anchors(
        self,
        encoder: Encoder,
        data: Dataset,
        found: Extracted,
        plan: Plan,
        measured: Measured,
        cache: Path,
    ) -> tuple[AnchorRecord, ...]:
        if not self.settings.anchors:
            return ()
        anchors = Anchors(
            cache=cache,
            memory=self._kept,
            seed=self.settings.seed,
            device=self.device,
            on_progress=self._passes.on_progress,
            on_metric=self._on_metric,
        )
        return anchors.of(encoder, data, found.how, plan, measured)

    @contextlib.contextmanager
    def cache(self) -> Iterator[Path]:
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


def _unshared(world: World, why: str) -> UsageError:
    return UsageError(
        f"{world.size} processes share their work through the cache, and {why}; give --cache FOLDER."
    )


def _unscorable(checks: Sequence[Check], encoder: Encoder) -> str:
    """Why every score would be meaningless; a PARTIAL load was asked for and is scored."""
    fatal = {"finite"} if encoder.load.missing else {"finite", "load"}
    return "; ".join(c.message for c in checks if c.status == "fail" and c.name in fatal)

"""The two anchors of every image card: raw pixels, and the same architecture untrained.

A random net scores well above chance on easy images, and so do pixels. The probes of a card run on
both, on the same images and splits, so that a score is read against what it costs nothing to reach.
Their estimates are kept in the cache.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder, LoadAudit, Preprocess, module_digest
from sslaudit.errors import EncoderError, RefError, SslauditError, UsageError
from sslaudit.extraction import Extraction, OnProgress, PixelViews, features_of
from sslaudit.inputs import Labels
from sslaudit.kept import KeptEstimates
from sslaudit.loading import load_untrained
from sslaudit.measure import Materials, Measured, measure
from sslaudit.plan import Plan, PlannedMetric
from sslaudit.report.anchored import PIXELS, UNTRAINED, AnchorReading, AnchorRecord
from sslaudit.report.card import MetricRecord
from sslaudit.report.samples import Samples, paired_difference, scored_by
from sslaudit.results import Estimate, Interval

PIXEL_SIDE = 32
"""Raw pixels are averaged down to so many a side: 3,072 numbers an image at most."""

SEED = 0
"""Of the fresh weights of the untrained copy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchors:
    """Measures the anchors of the encoders of one run."""

    cache: Path
    memory: dict[str, dict[str, Estimate]]
    """Estimates that were made or read already."""
    seed: int
    device: str
    on_progress: OnProgress
    on_metric: Callable[[str], None]

    def of(
        self, encoder: Encoder, data: Dataset, how: Extraction, plan: Plan, measured: Measured
    ) -> tuple[AnchorRecord, ...]:
        """Both anchors, read by the metrics of ``plan`` that need embeddings and labels alone.

        Empty where there is nothing to read: no such metric with a value, or no labels. Costs one pass over
        the identity views for each anchor, the first time. Raises ``StoreError``.
        """
        there = {record.row for record in measured.records if record.value is not None}
        chosen = [metric for metric in plan.metrics if _readable(metric) and metric.term in there]
        if not chosen or data.labels is None or encoder.modality != "image":
            return ()
        how = replace(how, views=1, space="embedding")
        return tuple(
            self._record(name, what, anchor, data, how, chosen, measured.samples)
            for name, what, anchor in _anchors(encoder, self.device)
        )

    def _record(
        self,
        name: str,
        what: str,
        anchor: Encoder | None,
        data: Dataset,
        how: Extraction,
        chosen: Sequence[PlannedMetric],
        samples: Samples,
    ) -> AnchorRecord:
        if anchor is None:
            return AnchorRecord(name=name, what=what, digest="", dim=0, readings=())
        if name == PIXELS:
            how = replace(how, precision="fp32", compiled=False)
        found = measure(
            Plan(metrics=tuple(chosen)),
            self._materials(anchor, data, how),
            seed=self.seed,
            on_metric=lambda term: self.on_metric(f"{term} of {name}"),
        )
        readings = [
            _reading(record, samples, found.samples, data)
            for record in found.records
            if record.value is not None
        ]
        if not readings:
            what = f"{what}: {found.records[0].reason}"
        return AnchorRecord(
            name=name, what=what, digest=anchor.digest, dim=anchor.dim, readings=tuple(readings)
        )

    def _materials(self, anchor: Encoder, data: Dataset, how: Extraction) -> Materials:
        features = features_of(anchor, data, how, cache=self.cache, on_progress=self.on_progress)
        facts = {"features": how.key(anchor, data), "data": data.digest}
        return Materials(
            features={"embedding": features},
            pixels=PixelViews(data, how, anchor.preprocess),
            labels=Labels.of(data),
            train=data.train,
            kept=KeptEstimates(self.memory, self.cache / "estimates", facts),
            keep_all=True,
            encoder=None,
            images=len(data),
            views=1,
            unscorable="",
            device=self.device,
        )


def raw_pixels(preprocess: Preprocess, device: str) -> Encoder:
    """Pixels of the identity view as an encoder: averaged to at most 32 a side, scaled to [-1, 1]."""
    side = (min(preprocess.size[0], PIXEL_SIDE), min(preprocess.size[1], PIXEL_SIDE))
    half = (0.5, 0.5, 0.5)

    def embed(images: Tensor) -> Tensor:
        return adaptive_avg_pool2d(images, side).flatten(1)

    return Encoder(
        ref=PIXELS,
        name=PIXELS,
        embed=embed,
        dim=3 * side[0] * side[1],
        preprocess=replace(preprocess, mean=half, std=half, source="raw pixels"),
        digest=f"{PIXELS}, {'' if side == preprocess.size else 'averaged to '}{side[0]} x {side[1]}",
        parameters=0,
        load=LoadAudit(matched=0, expected=0),
    )


def untrained_copy(encoder: Encoder, device: str) -> Encoder:
    """The architecture of ``encoder`` with fresh weights, its preprocessing kept.

    Raises an ``EncoderError`` (or another kind of the same family) with the reason where there is none.
    """
    if encoder.ref.startswith("module:") and encoder.module is not None:
        return _reset(encoder, encoder.module)
    try:
        control = load_untrained(encoder.ref, seed=SEED, device=device)
    except RefError:
        raise EncoderError(f"'{encoder.ref}' is no reference that could be loaded anew.") from None
    if control.dim != encoder.dim and control.preprocess.size == encoder.preprocess.size:
        raise EncoderError(f"'{encoder.ref}' names another architecture: {control.dim}-d.")
    return replace(control, preprocess=encoder.preprocess, dim=encoder.dim, project=None)


def _anchors(encoder: Encoder, device: str) -> Iterator[tuple[str, str, Encoder | None]]:
    """Name, words and encoder of each anchor; no encoder where there is none, and the words say why."""
    if "weights" not in encoder.facts:  # else it is an untrained copy itself
        try:
            control = untrained_copy(encoder, device)
            yield UNTRAINED, f"{control.name} with fresh weights, seed {SEED}", control
        except (EncoderError, UsageError) as error:
            yield UNTRAINED, _in_one_line(error), None
    pixels = raw_pixels(encoder.preprocess, device)
    yield PIXELS, f"{pixels.digest.removeprefix(f'{PIXELS}, ')}, {pixels.dim:,}-d", pixels


def _reset(encoder: Encoder, module: nn.Module) -> Encoder:
    """A copy of a module whose parts know how to start anew."""
    if next(module.parameters(), None) is None:
        raise EncoderError(f"{type(module).__name__} has no weights to renew.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        try:
            fresh = copy.deepcopy(module)
            for name, part in fresh.named_modules():
                if callable(reset := getattr(part, "reset_parameters", None)):
                    reset()
                elif next(part.parameters(recurse=False), None) is not None:
                    kind = type(part).__name__
                    raise EncoderError(
                        f"{kind} '{name}' has weights and no reset_parameters() to renew them."
                    )
        except EncoderError:
            raise
        except Exception as error:  # a module may be anybody's code
            raise EncoderError(
                f"{type(module).__name__} cannot be copied and renewed: {type(error).__name__}: {error}."
            ) from error
    return replace(
        encoder, embed=fresh, module=fresh, digest=module_digest(fresh, encoder.digest), project=None
    )


def _readable(metric: PlannedMetric) -> bool:
    one_pass = metric.spec.needs.embeddings_alone and metric.space == "embedding"
    return metric.spec.group == "quality" and one_pass


def _reading(record: MetricRecord, ours: Samples, theirs: Samples, data: Dataset) -> AnchorReading:
    assert record.value is not None
    difference, interval = _paired(record.row, ours, theirs, data)
    return AnchorReading(
        term=record.row,
        value=record.value,
        interval=record.interval,
        difference=difference,
        difference_interval=interval,
    )


def _paired(term: str, ours: Samples, theirs: Samples, data: Dataset) -> tuple[float | None, Interval | None]:
    """The encoder minus the anchor."""
    if not (name := scored_by(term, ours, theirs)):
        return None, None
    try:
        return paired_difference(ours, theirs, name, data.labels)
    except ValueError:  # one image, or nothing in common
        return None, None


def _in_one_line(error: SslauditError) -> str:
    return " ".join(str(error).split())

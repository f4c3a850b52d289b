"""Cards for leaderboards, made by hand: no encoder runs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sslaudit.report.card import (
    DataRecord,
    EncoderRecord,
    LoadRecord,
    MetricRecord,
    PreprocessRecord,
    Provenance,
    ReportCard,
)
from sslaudit.results import Check, Interval, Status

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><!--",
    "</style><img src=x onerror=alert(1)>",
    "a\"b'c&d",
    "x|y\nz",
    "\u202egnp.exe",
    "n" * 200,
    "=HYPERLINK(1)",
    "a\udcffb",
    "con",
    "../../etc",
)
_METRIC: dict[str, Any] = {
    "name": "knn", "term": "knn", "version": 1, "plugin": "p 1", "source": "", "summary": "kNN",
    "group": "quality", "options": {}, "value": None, "reason": "", "interval": None, "no_interval": "",
    "direction": "higher", "unit": "", "claim": "estimate", "bias": "none", "verdict": "info", "note": "",
    "details": {}, "figures": (), "n_images": 8, "n_views": 2, "space": "embedding", "seconds": 0.0,
}  # fmt: skip


def metric(term: str, value: float | None, *, width: float = 0.0, **fields: Any) -> MetricRecord:
    """One number with an interval of ``width`` to both sides; none where it is 0."""
    made: dict[str, Any] = {**_METRIC, "name": term, "term": term, "value": value, "summary": term}
    if value is None:
        made["reason"] = "not computed: the features are not finite"
    elif width:
        made["interval"] = Interval(low=value - width, high=value + width, method="made up")
    else:
        made["no_interval"] = "made up"
    return MetricRecord(**{**made, **fields})


def card(
    ref: str,
    *metrics: MetricRecord,
    failed: str = "",
    digest: str | None = None,
    facts: Mapping[str, str] | None = None,
    checks: tuple[Check, ...] = (),
    encoder: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    made: Mapping[str, Any] | None = None,
    suite: str | None = None,
) -> ReportCard:
    """A healthy card, or one whose check ``failed``."""
    status: Status = "fail" if failed else "pass"
    whole = ReportCard(
        encoder=EncoderRecord(
            ref=ref, name="resnet18", digest=ref if digest is None else digest, dim=512,
            parameters=11_200_000, modality="image", facts=dict(facts or {}),
            preprocess=PreprocessRecord(
                size=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bilinear", crop=1.0, source="x"
            ),
            load=LoadRecord(
                matched=1, expected=1, file="", branch="", others=(), prefix="", renamed=(), missing=(),
                ignored=(), assumptions=(),
            ),
        ),
        data=DataRecord(
            ref="D", digest="d" * 64, images=100, classes=("cat", "dog"), splits={"train": 70, "test": 30},
            split_rule="", recipe="simclr@1", recipe_assumed=False, recipe_own=True, recipe_details="",
            views=4, views_mode="per-image", seed=0, skipped=(),
        ),
        suite=suite,
        checks=checks or (Check(name=failed or "rank", status=status, message="as found"),),
        metrics=metrics,
        problems=(),
        provenance=Provenance(
            sslaudit="1", python="3", torch="2", device="cpu", precision="fp32", precision_floor=None,
            precision_reason="", compiled=False, batch_size=1, command="", started="2026-01-01", seconds=0.0,
            cached_views=0, plugins={}, images_per_second=1234.5,
        ),
    )  # fmt: skip
    return replace(
        whole,
        encoder=replace(whole.encoder, **(encoder or {})),
        data=replace(whole.data, **(data or {})),
        provenance=replace(whole.provenance, **(made or {})),
    )


def eight(width: float = 0.0) -> list[ReportCard]:
    """Equal scores, one that failed, one that collapsed, and names that sort and print badly."""
    said: list[tuple[str, float | None, float | None, str]] = [
        ("a", 0.81, 0.2, ""), ("b", 0.81, 0.3, ""), ("c", None, None, "finite"), ("d", 0.8100004, 0.1, ""),
        ("e", 0.25, 0.0, "rank"), ("10", 0.5, 0.5, ""), ("2", 0.5, 0.4, ""), ("x|y\nz", 0.6, 0.6, ""),
    ]  # fmt: skip
    return [
        card(
            name,
            metric("knn", accuracy, width=width),
            metric("alignment", spread, width=0.01, group="factor", direction="lower"),
            failed=failed,
        )
        for name, accuracy, spread, failed in said
    ]

"""The straight line from Python: modules and encoders as input, guards, metrics that misbehave."""

import dataclasses
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sslaudit
from sslaudit import (
    Encoder,
    Estimate,
    Interval,
    LoadAudit,
    MetricInputs,
    MetricSpec,
    Needs,
    Preprocess,
    ReportCard,
    UsageError,
)
from sslaudit.audit import Line
from sslaudit.checks import check_features
from sslaudit.data import Dataset, subset
from sslaudit.encoder import from_module
from sslaudit.host import Plugin
from sslaudit.loading import load_dataset
from sslaudit.registry import Registry, installed
from sslaudit.report.card import from_json, to_json
from sslaudit.settings import Settings
from sslaudit.stats import wilson
from sslaudit.store import Features, Parts

SMALL = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")


class Pixels(nn.Module):
    """Flattened pixels: an encoder without weights."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return subset(load_dataset("digits"), max_images=300)


def metric(compute: Callable[[MetricInputs], object], **fields: object) -> MetricSpec:
    about = {
        "name": "probe",
        "version": 1,
        "summary": "a probe",
        "source": "none",
        "needs": Needs(embeddings=True),
    }
    return MetricSpec(**{**about, **fields}, compute=compute)


def audit(
    data: Dataset, *metrics: MetricSpec, module: nn.Module | Encoder | None = None, **settings: object
) -> ReportCard:
    """The card of a module under metrics of our own, beside what is installed."""
    plugin = Plugin(name="test", distribution="test", version="0", offers={"metrics": list(metrics)})
    registry = Registry([*installed().plugins, plugin])
    # In float32: what auto settles on depends on how fast the machine is just now.
    chosen = {"device": "cpu", "precision": "fp32", **settings}
    line = Line(registry, Settings(metrics=",".join(m.name for m in metrics), **chosen))
    encoder = module if isinstance(module, Encoder) else from_module(module or Pixels(), preprocess=SMALL)
    return line.run(encoder, data)


def number(value: float) -> Estimate:
    return Estimate(value=value, no_interval="a test")


def checks(card: ReportCard) -> dict[str, str]:
    return {check.name: check.status for check in card.checks}


def test_a_module_needs_its_preprocessing_and_nothing_else(digits: Dataset) -> None:
    card = sslaudit.evaluate(Pixels(), digits, preprocess=SMALL, metrics="knn", device="cpu")
    assert card.encoder.ref == "module:Pixels"
    assert card.encoder.dim == 192
    assert card.metric("knn").value > 0.8
    with pytest.raises(UsageError, match="preprocess="):
        sslaudit.evaluate(Pixels(), digits)
    with pytest.raises(UsageError, match="goes with a module"):
        sslaudit.load_encoder("x.pt", preprocess=SMALL)


def test_an_encoder_is_taken_as_it_is(digits: Dataset) -> None:
    encoder = from_module(Pixels(), preprocess=SMALL, name="mine")
    assert sslaudit.load_encoder(encoder) is encoder
    assert sslaudit.evaluate(encoder, digits, metrics="knn").encoder.name == "mine"


def test_a_module_that_gives_no_rows_is_refused() -> None:
    with pytest.raises(sslaudit.EncoderError, match=r"returns \(1, 3, 8, 8\)"):
        from_module(nn.Identity(), preprocess=SMALL)


def test_the_identity_view_is_the_image_itself(digits: Dataset) -> None:
    """At its own size a digit goes through unchanged: pixels come back to the last bit."""
    seen: list[np.ndarray] = []
    audit(digits, metric(lambda inputs: seen.append(inputs.embeddings) or number(0)), recipe="simclr")
    expected = np.stack([digits.read(i).transpose(2, 0, 1).ravel() for i in range(len(digits))])
    np.testing.assert_allclose(seen[0], (expected / 255 - 0.5) / 0.5, atol=1e-6)


def test_views_are_the_same_for_every_encoder_batch_size_and_subset(digits: Dataset) -> None:
    def views(data: Dataset, **settings: object) -> np.ndarray:
        seen: list[np.ndarray] = []
        spec = metric(lambda inputs: seen.append(inputs.views.read()) or number(0), needs=Needs(views=2))
        audit(data, spec, recipe="crop+color", **settings)
        return seen[0]

    base = views(digits, views=3)
    assert base.shape == (300, 3, 192)
    np.testing.assert_array_equal(views(digits, views=3, batch_size=7), base)
    np.testing.assert_array_equal(views(digits, views=5)[:, :3], base)
    half = subset(digits, max_images=150)
    rows = [digits.digests.index(digest) for digest in half.digests]
    np.testing.assert_allclose(views(half, views=3), base[rows], atol=2.01 / 255 / 0.5)
    assert np.abs(views(digits, views=3, seed=1)[:, 1] - base[:, 1]).max() > 0.1
    bank = views(digits, views=3, views_mode="bank")
    assert not np.array_equal(bank, base)


def test_reading_what_was_not_declared_is_an_error_on_the_card(digits: Dataset) -> None:
    specs = [
        metric(lambda inputs: number(inputs.labels.sum()), name="peeks"),
        metric(lambda inputs: number(np.nan), name="nan"),
        metric(lambda inputs: 1.0, name="bare"),
        metric(lambda inputs: Estimate(value=1.0), name="no-interval"),
        metric(lambda inputs: 1 / 0, name="raises"),
        metric(lambda inputs: Estimate(value=1.0, no_interval="x", samples={"a": [1]}), name="short-column"),
        metric(lambda inputs: number(2.0), name="fine"),
    ]
    card = audit(digits, *specs)
    said = {record.name: (record.verdict, record.reason) for record in card.metrics}
    assert "without declaring it" in said["peeks"][1]
    assert "is nan" in said["nan"][1]
    assert "gave a float" in said["bare"][1]
    assert "needs an interval" in said["no-interval"][1]
    assert "ZeroDivisionError" in said["raises"][1]
    assert "1 entries for 300 images" in said["short-column"][1]
    assert [name for name, (verdict, _) in said.items() if verdict == "error"] == [s.name for s in specs[:-1]]
    assert card.metric("fine").value == 2.0
    assert len(card.problems) == 6
    assert from_json(to_json(card), "the card").metrics == card.metrics


def test_several_estimates_and_results_of_others(digits: Dataset) -> None:
    def two(inputs: MetricInputs) -> Mapping[str, Estimate]:
        interval = Interval(low=0, high=2, method="a test")
        return {"a": Estimate(value=1.0, interval=interval), "b": number(inputs.seed)}

    def reads(inputs: MetricInputs) -> Estimate:
        return number(inputs.results["two.a"].value + 1)

    later = metric(reads, name="after", needs=Needs(embeddings=True, results=("two",)))
    card = audit(digits, later, metric(two, name="two"), seed=5)
    assert [record.name for record in card.metrics] == ["two.a", "two.b", "after"]
    assert [record.value for record in card.metrics] == [1.0, 5.0, 2.0]


class Dropping(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.dropout(images.flatten(1), 0.5, training=True)


class BatchNormed(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        h = images.flatten(1)
        return h - h.mean(dim=0)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.seen += 1
        return images.flatten(1)


class Constant(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.ones(len(images), 4)


class OneDirection(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1).mean(dim=1, keepdim=True) * torch.arange(1.0, 5.0)


class NotANumber(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        h = images.flatten(1).clone()
        h[h[:, 100] > 0.9] = float("nan")
        return h


@pytest.mark.parametrize(
    ("module", "failed", "word"),
    [
        (Dropping(), "deterministic", "NOT DETERMINISTIC"),
        (BatchNormed(), "batch-invariant", "NOT DETERMINISTIC"),
        (Counting(), "buffers", "NOT DETERMINISTIC"),
        (Constant(), "non-constant", "COLLAPSED"),
        (OneDirection(), "rank", "COLLAPSED"),
        (NotANumber(), "finite", "NOT FINITE"),
    ],
)
def test_guards_catch_what_would_spoil_a_score(
    digits: Dataset, module: nn.Module, failed: str, word: str
) -> None:
    from rich.console import Console

    from sslaudit.report.terminal import render

    card = sslaudit.evaluate(module, digits, preprocess=SMALL, metrics="knn", device="cpu", cache=False)
    assert checks(card)[failed] == "fail"
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render(card))
    text = console.export_text()
    assert word in text
    assert "ACCURACY" not in text
    if failed == "finite":
        assert card.metric("knn").value is None
        assert "NaN" in card.metric("knn").reason


def test_cached_features_of_another_forward_are_not_believed(digits: Dataset, tmp_path: Path) -> None:
    """The same tensors and the same text, another computation: the probe tells, and they are made anew."""

    def encoder(factor: float) -> Encoder:
        return Encoder(
            ref="mine", name="mine", embed=lambda images: images.flatten(1) * factor - factor, dim=192,
            preprocess=SMALL, digest="the same", parameters=0, load=LoadAudit(matched=0, expected=0),
        )  # fmt: skip

    spec = metric(lambda inputs: number(np.abs(inputs.embeddings).max()))
    one = audit(digits, spec, module=encoder(1), cache=tmp_path)
    three = audit(digits, spec, module=encoder(3), cache=tmp_path)
    assert three.metric("probe").value == pytest.approx(3 * one.metric("probe").value)


def test_a_cache_that_cannot_be_written_is_done_without(digits: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    card = audit(digits, metric(lambda inputs: number(1)), cache=tmp_path / "file" / "cache")
    assert card.metric("probe").value == 1


def test_projection_space_and_pixel_views(digits: Dataset) -> None:
    encoder = dataclasses.replace(from_module(Pixels(), preprocess=SMALL), project=lambda h: h[:, :5] * 2)
    shapes: dict[str, tuple[int, ...]] = {}

    def look(name: str) -> Callable[[MetricInputs], Estimate]:
        def compute(inputs: MetricInputs) -> Estimate:
            if name == "pixels":
                _, block = next(inputs.pixel_views.chunks())
                shapes[name] = tuple(block.shape[1:])
            else:
                shapes[name] = inputs.embeddings.shape
            return number(0)

        return compute

    specs = [
        metric(look("h"), name="h"),
        metric(look("z"), name="z", needs=Needs(embeddings=True, space="projection")),
        metric(look("pixels"), name="pixels", needs=Needs(pixel_views=2)),
    ]
    audit(digits, *specs, module=encoder, views=2)
    assert shapes == {"h": (300, 192), "z": (300, 5), "pixels": (2, 3, 8, 8)}
    without = audit(digits, specs[1])
    assert without.metric("z").verdict == "not-applicable"


def test_one_image_twice_is_told(digits: Dataset) -> None:
    labels = digits.labels.copy()
    doubled = Dataset.build(
        ref="doubled",
        read=lambda i: digits.read(i % 300),
        digests=[*digits.digests, *digits.digests],
        class_names=[*(str(k) for k in labels), *(str((k + 1) % 10) for k in labels)],
    )
    card = audit(doubled, metric(lambda inputs: number(0)))
    message = next(check.message for check in card.checks if check.name == "data")
    assert checks(card)["data"] == "warn"
    assert message.startswith("300 images have identical copies in different classes: ")


def test_html_is_escaped_and_whole(digits: Dataset) -> None:
    spec = metric(lambda inputs: Estimate(value=1.0, no_interval="<script>alert(1)</script>"), summary="<b>&")
    encoder = from_module(Pixels(), preprocess=SMALL, name="<img src=x onerror=alert(1)>")
    html = audit(digits, spec, module=encoder)._repr_html_()
    assert "<script>" not in html
    assert "<img" not in html
    assert "&lt;b&gt;&amp;" in html


def test_json_is_strict_and_round_trips(digits: Dataset, tmp_path: Path) -> None:
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    data = dataclasses.replace(digits, ids=(name, *digits.ids[1:]), ref=name)
    data = dataclasses.replace(data, classes=(name, *digits.classes[1:]))
    spoken = Estimate(value=np.float32(0.1), no_interval="a test", samples={"said": [name] * len(data)})
    card = audit(data, metric(lambda inputs: spoken, name="probe"))
    sslaudit.write_card(card, tmp_path)
    text = (tmp_path / "card.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda constant: pytest.fail(constant))
    again = sslaudit.read_card(tmp_path)
    assert again.data.ref == "caf\\udce9.png"
    assert again.metrics == card.metrics
    assert (
        again.data.classes[0] == again.samples["probe/said"][0] == again.samples["id"][0] == "caf\\udce9.png"
    )
    with pytest.raises(sslaudit.CardError, match="schema version 2"):
        from_json(text.replace('"schema_version": 1', '"schema_version": 2'), "'x'")
    with pytest.raises(sslaudit.CardError, match=r"encoder\.dim"):
        from_json(text.replace('"dim": 192', '"dim": "many"'), "'x'")
    with pytest.raises(sslaudit.CardError, match="not a report card"):
        from_json("[]", "'x'")


def test_cards_of_other_data_are_not_compared(digits: Dataset) -> None:
    a = sslaudit.evaluate(Pixels(), digits, preprocess=SMALL, metrics="knn")
    other = sslaudit.evaluate(Pixels(), subset(digits, max_images=100), preprocess=SMALL, metrics="knn")
    value, interval = sslaudit.paired_difference(a, a, "knn")
    assert value == 0
    assert interval.high == -interval.low == pytest.approx(wilson(0, a.data.splits["test"]).high)
    with pytest.raises(sslaudit.CardError, match="data digest"):
        sslaudit.paired_difference(a, other, "knn")
    with pytest.raises(sslaudit.CardError, match="missing"):
        sslaudit.paired_difference(a, a, "few-shot")


@pytest.mark.gpu
def test_a_gpu_embeds_as_the_cpu_does(digits: Dataset) -> None:
    from sslaudit.train.backbones import build_backbone

    features = {}
    for device in ("cpu", "cuda"):
        line = Line(installed(), Settings(metrics="alignment", device=device, cache=False))
        encoder = from_module(build_backbone("conv3", seed=0), preprocess=SMALL, device=device)
        features[device] = line.run(encoder, digits).metric("alignment").value
    assert features["cuda"] == pytest.approx(features["cpu"], rel=1e-3)


def test_embeddings_of_zeros_fail_a_check(tmp_path: Path) -> None:
    """A ReLU that no image passes: the row has no direction, and every metric would refuse it one by one."""
    rows = np.random.default_rng(0).normal(size=(6, 1, 4)).astype(np.float32)
    rows[2] = 0

    parts = Parts(tmp_path / "key", len(rows))
    parts.write(0, rows.astype(np.float32))
    last = check_features(Features(parts))[-1]
    assert (last.name, last.status) == ("direction", "fail")
    assert last.message.startswith("1 of 6 images")

"""Metrics on embeddings and projections side by side, results that are read, estimates that are kept."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from sslaudit import Encoder, Estimate, Interval, MetricInputs, MetricSpec, Needs, Option, Preprocess
from sslaudit.audit import Line
from sslaudit.data import Dataset, subset
from sslaudit.encoder import from_module
from sslaudit.extraction import Embedder, Extraction, features_of
from sslaudit.host import Plugin
from sslaudit.loading import load_dataset
from sslaudit.recipes import BUILTIN_RECIPES, parse_recipe
from sslaudit.registry import Registry
from sslaudit.report import words
from sslaudit.report.card import ReportCard, from_json, to_json
from sslaudit.report.html import page
from sslaudit.report.terminal import console, render
from sslaudit.settings import Settings
from sslaudit.store import PART_IMAGES

SMALL = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")


class Pixels(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def encoder(*, projector: bool) -> Encoder:
    plain = from_module(Pixels(), preprocess=SMALL)
    head = nn.Linear(192, 5).eval()
    return dataclasses.replace(plain, project=head if projector else None, project_digest="head")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return subset(load_dataset("digits"), max_images=300)


def line(*metrics: MetricSpec, **settings: object) -> Line:
    plugin = Plugin(name="test", distribution="test", version="0", offers={"metrics": list(metrics)})
    builtin = Plugin(
        name="recipes", distribution="test", version="0", offers={"recipes": list(BUILTIN_RECIPES)}
    )
    return Line(Registry([plugin, builtin]), Settings(device="cpu", recipe="simclr", views=3, **settings))


def metric(
    name: str, compute: Callable[[MetricInputs], object], needs: Needs, **fields: object
) -> MetricSpec:
    about = {"version": 1, "summary": name, "source": "none", "needs": needs, "compute": compute}
    return MetricSpec(name=name, **{**about, **fields})


def number(value: float, **fields: object) -> Estimate:
    return Estimate(value=value, no_interval="a test", **fields)


def width(inputs: MetricInputs) -> Estimate:
    count = inputs.views.shape[0]
    return number(
        inputs.views.shape[2], tables={"width": [inputs.views.shape[2]]}, samples={"x": [1] * count}
    )


def cards_of(digits: Dataset, *metrics: MetricSpec, projector: bool = True) -> ReportCard:
    return line(*metrics).run(encoder(projector=projector), digits)


def test_a_metric_on_both_spaces_has_a_record_and_a_column_for_each(digits: Dataset) -> None:
    both = metric("width", width, Needs(views=2, space="both"), group="factor")
    card = cards_of(digits, both)
    assert [(r.name, r.space, r.value) for r in card.metrics] == [
        ("width", "embedding", 192),
        ("width", "projection", 5),
    ]
    assert {"width/x", "projection:width/x"} <= set(card.samples)
    assert card.metric("width").value == 192
    assert words.spaces(card, "factor") == ["embedding", "projection"]
    assert [row.value for row in words.rows(card, "factor", "projection")] == ["5.000"]
    assert [r.space for r in cards_of(digits, both, projector=False).metrics] == ["embedding"]


def test_a_reader_gets_the_results_of_its_space(digits: Dataset) -> None:
    def read(inputs: MetricInputs) -> Estimate:
        assert set(inputs.results) == {"width"}
        return number(inputs.results["width"].tables["width"][0])

    reader = metric("reader", read, Needs(views=2, space="both", results=("width",)))
    other = metric("other", lambda inputs: number(0), Needs())
    card = cards_of(digits, reader, metric("width", width, Needs(views=2, space="both")), other)
    found = {(r.name, r.space): r.value for r in card.metrics}
    assert (found["reader", "embedding"], found["reader", "projection"]) == (192, 5)


def test_projections_of_embeddings_are_those_of_pixels_to_the_byte(digits: Dataset, tmp_path: Path) -> None:
    some = subset(load_dataset("digits"), max_images=PART_IMAGES + 30)
    named = {spec.name: spec for spec in BUILTIN_RECIPES}
    how = Extraction(recipe=parse_recipe("simclr", named), views=3, seed=0, batch_size=50)
    projecting = dataclasses.replace(how, space="projection")
    one = encoder(projector=True)
    embedded = features_of(one, some, how, cache=tmp_path / "a")
    seen: list[int] = []
    fast = features_of(
        one,
        some,
        projecting,
        cache=tmp_path / "a",
        embedder=Embedder(one, projecting),
        embedded=embedded,
        on_progress=lambda progress: seen.append(progress.done),
    )
    slow = features_of(one, some, projecting, cache=tmp_path / "b")
    np.testing.assert_array_equal(fast.read(), slow.read())
    assert seen[-1] == len(some) * 3


def test_what_is_of_the_data_runs_once_for_all_encoders_and_is_kept(digits: Dataset) -> None:
    runs: list[str] = []

    def look(inputs: MetricInputs) -> Estimate:
        runs.append(inputs.options["mode"])
        assert inputs.pixel_views.head(2).shape == (2, 3, 3, 8, 8)
        rows = len(inputs.labels)
        interval = Interval(low=0.1, high=0.7, method="a test")
        return Estimate(value=0.5, interval=interval, details={"n": rows}, samples={"x": [None] * rows})

    mode = Option(name="mode", type=str, default="a", help="")
    spec = metric("look", look, Needs(pixel_views=2, labels=True), options=(mode,), group="data")
    one = line(spec)
    first = one.run(encoder(projector=False), digits)
    second = one.run(encoder(projector=True), digits)
    assert runs == ["a"]
    again = line(spec).run(encoder(projector=False), digits)
    assert runs == ["a"], "kept in the cache"
    records = [dataclasses.replace(card.metrics[0], seconds=0.0) for card in (first, second, again)]
    assert records[0] == records[1] == records[2]
    assert again.samples["look/x"] == [None] * len(digits)
    for change in (
        lambda: line(dataclasses.replace(spec, version=2)),
        lambda: line(spec, metrics="look(mode=b)"),
        lambda: line(spec, seed=1),
    ):
        change().run(encoder(projector=False), digits)
    line(spec).run(encoder(projector=False), subset(digits, max_images=100))
    assert len(runs) == 5
    line(spec, cache=False).run(encoder(projector=False), digits)
    assert len(runs) == 6


def test_an_estimate_with_columns_of_its_own_kind_is_not_kept_but_given(digits: Dataset) -> None:
    runs: list[int] = []

    def look(inputs: MetricInputs) -> Estimate:
        runs.append(1)
        return number(0.5, samples={"x": np.zeros(len(digits))})

    spec = metric("look", look, Needs(pixel_views=2))
    for _ in range(2):
        line(spec).run(encoder(projector=False), digits)
    assert len(runs) == 2


def test_a_value_that_cannot_be_is_an_error_of_its_metric(digits: Dataset) -> None:
    spec = metric("share", lambda inputs: number(1.5), Needs(), range=(0.0, 1.0))
    card = cards_of(digits, spec)
    assert card.metrics[0].verdict == "error"
    assert "1.5, outside of its range 0.0 to 1.0" in card.problems[0]


def test_a_label_and_lines_of_the_first_screen_reach_the_card(digits: Dataset) -> None:
    def both(inputs: MetricInputs) -> dict[str, Estimate]:
        space = inputs.views.shape[2]
        line = {"HELD BACK": f"by {space}"}
        return {"": number(0.1, label="first", headline=line), "part": number(0.2, label="second")}

    spec = metric("double", both, Needs(views=2, space="both"), group="guarantee")
    card = cards_of(digits, spec)
    assert [(r.name, r.summary) for r in card.metrics[:2]] == [("double", "first"), ("double.part", "second")]
    said = [line for line in words.headline(card) if line[0].startswith("HELD")]
    assert said == [("HELD BACK h", "by 192"), ("HELD BACK z", "by 5")]
    alone = words.headline(cards_of(digits, spec, projector=False))
    assert ("HELD BACK", "by 192") in alone, "one space goes unnamed"
    again = from_json(to_json(card), "the card")
    assert again.metrics == card.metrics
    assert [row.term for row in words.rows(card, "guarantee", "embedding")] == ["double", "double.part"]


def test_guarantees_of_two_spaces_stand_side_by_side_whatever_they_lack(digits: Dataset) -> None:
    def rungs(inputs: MetricInputs) -> dict[str, Estimate]:
        none = Estimate(
            value=None, reason="gives no guarantee: rho 3.00, allowed .010 (a-b)", verdict="fails"
        )
        first = dataclasses.replace(none, label="as printed", headline={"GUARANTEE": inputs.options["norm"]})
        held = number(0.25, label="measured", verdict="holds-point-estimate")
        if inputs.views.shape[2] == 192:
            return {"": first, "h-only": dataclasses.replace(none, label="h only"), "measured": held}
        return {"": first, "measured": held}

    norm = Option(name="norm", type=str, default="sphere", help="")
    spec = metric("rungs", rungs, Needs(views=2, space="both"), group="guarantee", options=(norm,))
    one = line(spec, metrics="rungs,rungs(norm=as-is)").run(encoder(projector=True), digits)
    screen = console()
    with screen.capture() as shown:
        screen.print(render(one, everything=True))
    lines = [" ".join(text.split()) for text in shown.get().splitlines()]
    assert "guarantee (rungs(norm=as-is); error at most; - where there is none, and why)" in lines
    assert lines.count("as printed - rho 3.00, allowed .010 - rho 3.00, allowed .010") == 2
    assert lines.count("h only - rho 3.00, allowed .010") == 2
    assert lines.count("measured .250 as an estimate .250 as an estimate") == 2
    assert [text for text in lines if text.startswith("GUARANTEE")] == [
        "GUARANTEE h sphere",
        "GUARANTEE z sphere",
    ]
    page(one)


def test_what_is_nowhere_is_no_row_and_a_reason_is_said_once(digits: Dataset) -> None:
    def nothing(inputs: MetricInputs) -> Estimate:
        return Estimate.not_applicable("there is no wind")

    needs = Needs(views=2, space="both")
    metrics = [metric(name, nothing, needs, group="factor") for name in ("north", "south")]
    card = cards_of(digits, metric("width", width, needs, group="factor"), *metrics)
    screen = console()
    with screen.capture() as shown:
        screen.print(render(card))
    lines = [" ".join(text.split()) for text in shown.get().splitlines()]
    assert [text for text in lines if "south" in text] == ["not computed north, south: there is no wind"]
    assert any(text.startswith("width 192") for text in lines)


def test_features_that_are_not_finite_leave_what_is_of_the_data(digits: Dataset) -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1) * float("nan")

    data = metric("data", lambda inputs: number(0.5), Needs(labels=True), group="data")
    card = line(metric("width", width, Needs(views=2)), data).run(
        from_module(Broken(), preprocess=SMALL), digits
    )
    assert card.metric("data").value == 0.5
    assert "not computed" in card.metric("width").reason
    assert words.not_computed(card)[0].startswith("width: 300 of 300 images")  # the label says the rest
    assert card.provenance.precision_floor is None
    assert from_json(to_json(card), "the card").provenance == card.provenance


def test_labels_are_optional_where_a_metric_says_so(digits: Dataset) -> None:
    def look(inputs: MetricInputs) -> Estimate:
        found = inputs.labels_if_any
        assert len(inputs.train) > 0
        return number(0 if found is None else len(found.classes))

    optional = metric("look", look, Needs(labels="optional"))
    assert cards_of(digits, optional).metrics[0].value == 10
    bare = Dataset.build(ref="bare", read=digits.read, digests=digits.digests, class_names=None)
    assert cards_of(bare, optional).metrics[0].value == 0
    undeclared = cards_of(digits, metric("undeclared", look, Needs()))
    assert "reads labels without declaring" in undeclared.problems[0]

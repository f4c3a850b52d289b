"""The page of a card: its one sentence, what stands where, and names that are no HTML."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from sslaudit.errors import OutputError
from sslaudit.figures import Bars, Curve, Figure, Mark, Matrix, Series, Waterfall
from sslaudit.report.anchored import AnchorReading, AnchorRecord
from sslaudit.report.card import (
    DataRecord,
    EncoderRecord,
    LoadRecord,
    MetricRecord,
    PreprocessRecord,
    Provenance,
    ReportCard,
)
from sslaudit.report.html import fragment, page, write_page
from sslaudit.report.sections import linked, metrics, numbers
from sslaudit.report.verdict import obstacles, sentence
from sslaudit.results import Check, Interval

BUDGET = Waterfall(
    title="what is used up",
    labels=["concentration, 2 (1 - sigma)", "tolerance, 2 sigma eps / r"],
    values=[1.75, 0.25],
    total_label="rho",
    limit=0.013,
    limit_label="allowed",
    value_label="rho",
)
CHECKS = ("load", "finite", "non-constant", "control")


def within(low: float, high: float, method: str = "Wilson") -> Interval:
    return Interval(low=low, high=high, method=method)


def record(name: str, group: str, value: float | None = 0.5, **given: Any) -> MetricRecord:
    """A metric with an interval of +-.01, where nothing else is said."""
    made: dict[str, Any] = {
        "name": name, "term": name.partition(".")[0], "version": 1, "plugin": "tests 1", "source": "a test",
        "summary": f"the {name}", "group": group, "options": {}, "value": value,
        "reason": "" if value is not None else "there is none",
        "interval": None if value is None else within(value - 0.01, value + 0.01), "no_interval": "",
        "direction": "higher", "unit": "fraction", "claim": "estimate", "bias": "none", "verdict": "info",
        "note": "", "details": {}, "figures": (), "n_images": 9, "n_views": 1, "space": "embedding",
        "seconds": 0.1,
    }  # fmt: skip
    return MetricRecord(**{**made, **given})


def theorem(verdict: str = "fails", value: float | None = None, **given: Any) -> MetricRecord:
    details = {"held_back_by": "divergence", "worst_pair": "cat-dog"}
    return record(
        "theorem1", "guarantee", value, summary="Theorem 1", verdict=verdict, details=details, **given
    )


def anchor(name: str, value: float, low: float) -> AnchorRecord:
    reading = AnchorReading(
        term="probe", value=value, interval=None, difference=0.02, difference_interval=within(low, 0.03)
    )
    return AnchorRecord(name=name, what="a test", digest="", dim=9, readings=(reading,))


def card(*records: MetricRecord, checks: dict[str, str] | None = None, **given: Any) -> ReportCard:
    """A card whose checks pass, where nothing else is said: ``checks={"finite": "fail"}``."""
    load = {
        "matched": 18, "expected": 18, "file": "a file", "branch": "", "others": (), "prefix": "",
        "renamed": (), "missing": (), "ignored": (), "assumptions": (),
    }  # fmt: skip
    encoder = EncoderRecord(
        ref=given.pop("ref", "x.pt"), name="Net", digest="d", dim=9, parameters=99, modality="image",
        preprocess=PreprocessRecord(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bilinear",
                                    crop=1.0, source="given"),
        facts=given.pop("facts", {}), load=LoadRecord(**{**load, **given.pop("load", {})}),
    )  # fmt: skip
    data = DataRecord(
        ref="photos", digest="d", images=200, classes=given.pop("classes", ("cat", "dog")),
        splits={"train": 100, "test": 100}, split_rule="a test", recipe="crop@1", recipe_assumed=False,
        recipe_details="crop: all", views=2, views_mode="per-image", seed=0, skipped=(),
    )  # fmt: skip
    made = Provenance(
        sslaudit="1", python="3", torch="2", device="cpu", precision="fp32", precision_floor=None,
        precision_reason="asked for", compiled=False, batch_size=9, command="sslaudit evaluate x.pt",
        started="2026-01-01", seconds=1.0, cached_views=0, plugins={"tests": "tests 1"},
    )  # fmt: skip
    status = dict.fromkeys(CHECKS, "pass") | (checks or {})
    found = tuple(Check(name=name, status=said, message=f"{name} is so") for name, said in status.items())  # type: ignore[arg-type]
    return ReportCard(
        encoder=encoder, data=data, checks=found, metrics=records, problems=(), provenance=made, **given
    )


PROBE = record("probe", "quality", 0.978, interval=within(0.961, 0.987))
FULL = (PROBE, record("spread", "factor", direction="lower"), theorem(figures=[BUDGET]))
ANCHORS = (anchor("untrained copy", 0.959, 0.01), anchor("raw pixels", 0.95, -0.01))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            card(*FULL, anchors=ANCHORS),
            "The weights loaded and all checks passed; 97.8 % [96.1, 98.7] of held-out images are "
            "classified correctly (the probe), above an untrained copy (95.9 %), not above raw pixels "
            "(95.0 %): +2.0 points [-1.0, +3.0]; what holds it back most on average is that class centres "
            "overlap; Theorem 1 gives no guarantee.",
        ),
        (
            card(PROBE, theorem("holds-point-estimate", 0.25), checks={"finite": "warn", "rank": "warn"}),
            "The weights loaded and no check failed (finite, rank warn); 97.8 % [96.1, 98.7] of "
            "held-out images are classified correctly (the probe); what holds it back most on average is "
            "that class centres overlap; Theorem 1 bounds the error by 25.0 %, as an estimate that certifies "
            "nothing.",
        ),
        (
            card(theorem(), record("theorem1.certified", "guarantee", 0.25, verdict="holds")),
            "The weights loaded and all checks passed; accuracy was not measured; what holds it back most on "
            "average is that class centres overlap; an error of at most 25.0 % is certified.",
        ),
        (
            card(record("rank", "shape"), classes=(), facts={"epoch": "12 of 60, killed"}),
            "The weights loaded from a training that stopped after epoch 12 of 60, and all checks passed; "
            "without labels there is no accuracy.",
        ),
        (
            card(facts={"weights": "untrained, seed 0"}),
            "The weights are fresh, which makes this a control, and all checks passed; accuracy was "
            "not measured.",
        ),
        (
            card(*FULL, checks={"non-constant": "fail"}),
            "The weights loaded, but it collapsed (non-constant is so): no score on this card is to "
            "be trusted.",
        ),
        (
            card(*FULL, checks={"load": "fail", "finite": "fail"}, load={"matched": 2}),
            "The weights did not load, 2 of 18 tensors fit; it does not give finite numbers (finite "
            "is so): no score on this card is to be trusted.",
        ),
        (
            card(checks={"load": "fail"}, load={"matched": 17, "missing": ("bn.weight",)}),
            "Only part of the weights loaded, 17 of 18 tensors, and the rest is fresh: no score on "
            "this card is to be trusted.",
        ),
        (
            card(checks={"of-a-plugin": "fail"}),
            "The weights loaded, but it failed the check 'of-a-plugin' (of-a-plugin is so): no score on this "
            "card is to be trusted.",
        ),
    ],
)  # fmt: skip
def test_one_sentence_of_verdict(given: ReportCard, said: str) -> None:
    assert sentence(given) == said
    assert said.replace("'", "&#39;") in page(given)


def test_one_reason_of_several_checks_is_given_once() -> None:
    said = sentence(card(checks={"non-constant": "fail", "rank": "fail"}))
    assert said == (
        "The weights loaded, but it collapsed (non-constant is so; rank is so): no score on this card is to "
        "be trusted."
    )


def test_a_reference_breaks_behind_a_slash() -> None:
    assert "<bdi>a&lt;b/<wbr>c d.pt</bdi>" in page(card(ref="a<b/c d.pt"))


def test_what_is_behind_the_common_mean_is_said() -> None:
    shared = theorem()
    behind = dataclasses.replace(shared, details={**shared.details, "held_back_centred_by": "concentration"})
    assert (
        "what holds it back most on average is that class centres overlap and, behind the mean that all "
        "images share, that images of one class lie far apart"
    ) in sentence(card(PROBE, behind))


def test_what_keeps_the_theorem_from_holding() -> None:
    assert obstacles(card(*FULL)) == [
        (
            "embedding",
            "Theorem 1 gives no guarantee: images of one class lie too far apart for how close the class "
            "centres are. For the worst pair of classes (cat-dog) that spread, rho, is 2.000, where .013 is "
            "allowed. Most of it, 1.750, is that images of one class have no views near one another "
            "(concentration, 2 (1 - sigma)), at the delta and eps that come nearest to the condition. "
            "That is the worst case, which the theorem goes by: on average over the images, another factor "
            "holds this encoder back most, divergence.",
        )
    ]
    assert obstacles(card(theorem())) == [("embedding", "Theorem 1 gives no guarantee: there is none.")]
    assert obstacles(card(PROBE)) == []


def test_sections_stand_in_order_and_leave_out_what_was_not_run() -> None:
    groups = ("guarantee", "factor", "data", "shape", "quality", "classes", "change", "pretext", "other")
    whole = page(card(*(record(f"of-{group}", group) for group in groups)))
    found = re.findall(r'<section id="(\w+)"', whole)
    assert found == [
        "verdict", "checks", "numbers", "factors", "shape", "probes", "pretext", "other",
        "metrics", "provenance",
    ]  # fmt: skip
    assert re.findall(r'href="#(\w+)"', whole) == ["verdict", *found[1:], "provenance"]
    assert re.findall(r'<section id="(\w+)"', page(card())) == ["verdict", "checks", "numbers", "provenance"]
    assert "Of the data, the same for every encoder" in whole


def test_the_first_figure_stands_in_its_section_and_others_with_the_metric() -> None:
    figures = [Bars(title=f"figure {n}", labels=["a"], values=[1.0], value_label="v") for n in range(3)]
    spaces = ("embedding", "projection")
    whole = page(card(*(record("one", "other", space=space, figures=figures) for space in spaces)))
    section, after = whole.split('<section id="metrics">')
    assert [section.count(f"figure {n}") > 0 for n in range(3)] == [True, False, False]
    assert [after.count(f"figure {n}") > 0 for n in range(3)] == [False, True, True]
    assert section.index("embedding h</p>") < section.index("projection z</p>")


def test_ten_numbers_at_most_come_first() -> None:
    many = [record(f"probe.{n}", "quality") for n in range(9)] + [record(f"f{n}", "factor") for n in range(9)]
    tables = numbers(card(*many, record("none", "quality", None)))
    assert sum(len(table.lines) for table in tables) == 10
    assert [table.direction for table in tables] == [
        "embedding h; higher is better",
        "embedding h; lower is better",
    ]


def test_a_metric_tells_everything_it_knows() -> None:
    known = record(
        "one", "factor", paper="alignment", formula="||a - b||^2", source="Huang et al., arXiv:2111.00743",
        unit="squared distance", claim="lower-bound", bias="under", verdict="vacuous", note="Read it so.",
        direction="lower", options={"norm": "sphere"}, details={"at": "delta .5", "widest": 1234},
    )  # fmt: skip
    whole = page(card(known))
    for said in (
        "alignment</i>", "||a - b||^2", '<a href="https://arxiv.org/abs/2111.00743"', "squared distance",
        "a lower bound", "errs on the low side", "holds, and says nothing new", "Read it so.",
        "lower is better",
        "norm=sphere", "<td>1,234</td>", "delta .5", "95 %, Wilson", "sslaudit list metrics one",
    ):  # fmt: skip
        assert said in whole, said
    assert linked("A, doi:10.1000/ab.c-1.") == [
        ("A, ", ""), ("doi:10.1000/ab.c-1", "https://doi.org/10.1000/ab.c-1"), (".", ""),
    ]  # fmt: skip


def test_equal_cards_give_equal_bytes_and_no_request() -> None:
    one, other = (page(card(*FULL, anchors=ANCHORS)) for _ in range(2))
    assert one == other
    assert not re.findall(r"<script|<link|<iframe|<img|@import|url\(", one)
    assert "default-src 'none'" in one


HOSTILE = (
    "</style></title><script>window.x=1</script><img src=x onerror=window.x=1>\"'|\n{{ 7*7 }}"
    + "\u202eabc\x07\x00"
    + b"\xff\xe9".decode("utf-8", "surrogateescape")
    + "n" * 200
)


def test_hostile_names_are_inert_everywhere() -> None:
    figures: list[Figure] = [
        Curve(title=HOSTILE, x_label=HOSTILE, y_label=HOSTILE, note=HOSTILE,
              series=[Series(name=HOSTILE, x=[0, 1], y=[0, 1])], marks=[Mark(label=HOSTILE, x=0.5)]),
        Matrix(title=HOSTILE, rows=[HOSTILE], columns=[HOSTILE], values=[[1.0]], value_label=HOSTILE),
    ]  # fmt: skip
    strange = record(
        "of", "factor", term=HOSTILE, summary=HOSTILE, paper=HOSTILE, formula=HOSTILE, source=HOSTILE,
        unit=HOSTILE, note=HOSTILE, details={HOSTILE: HOSTILE}, options={HOSTILE: HOSTILE},
        headline={HOSTILE: HOSTILE}, figures=figures, plugin=HOSTILE, interval=within(0, 1, HOSTILE),
    )  # fmt: skip
    given = card(strange, ref=HOSTILE, classes=(HOSTILE, "b"), facts={HOSTILE: HOSTILE}, suite=HOSTILE)
    made = dataclasses.replace(given.provenance, command=HOSTILE, plugins={HOSTILE: HOSTILE})
    given = dataclasses.replace(given, problems=(HOSTILE,), provenance=made)
    for text in (page(given), fragment(given)):
        text.encode("utf-8")
        assert "<script" not in text
        assert "<img" not in text
        assert not set("\u202e\x07\x00") & set(text)
        assert text.count("</style>") == 1


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    place = tmp_path / "card.html"
    write_page(card(*FULL), place)
    assert place.read_text(encoding="utf-8") == page(card(*FULL))
    with pytest.raises(OutputError, match="cannot write"):
        write_page(card(), tmp_path / "missing" / "card.html")
    assert [path.name for path in tmp_path.iterdir()] == ["card.html"]


def test_many_classes_are_counted_and_listed_once() -> None:
    names = tuple(f"class {n}" for n in range(300))
    whole = page(card(PROBE, classes=names))
    assert "class 11 and 288 more" in whole
    assert whole.count("class 299") == 1
    assert metrics(card(*FULL))[2].name == "theorem1"

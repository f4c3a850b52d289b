"""Drawings of figures: well-formed, harmless, finite, equal for equal figures, true to their numbers."""

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslaudit.figures import (
    Bars,
    Curve,
    Figure,
    Histogram,
    Mark,
    Matrix,
    Points,
    Scatter,
    Series,
    Waterfall,
)
from sslaudit.report.drawing import STYLE, draw, svg
from sslaudit.report.drawing.style import DARK, LIGHT

HOSTILE = (
    "<script>alert(1)</script>", "]]>", "a|b", "a\n\tb", "\x00\x1f\x7f", "\ud800", "\ufffe", "\u202eabc",
    "\u05e9\u05dc\u05d5\u05dd (5)", "x" * 200, "", "&amp;", "\"'`", "{{ 7 * 7 }}", "\u200d\u0301",
)  # fmt: skip
NAMES = st.sampled_from(HOSTILE) | st.text(max_size=12)
EXTREME = (0.0, -0.0, 1.0, 1e-300, 5e-324, -1e-300, 1e300, -1e300, 1.7976931348623157e308, 0.1, 1 + 2**-52)
NUMBERS = st.sampled_from(EXTREME) | st.floats(allow_nan=False, allow_infinity=False)


def _columns(count: int, size: int) -> st.SearchStrategy[list[list[float]]]:
    return st.lists(st.lists(NUMBERS, min_size=size, max_size=size), min_size=count, max_size=count)


@st.composite
def _series(draw_: st.DrawFn) -> Series:
    x, y, low, high = draw_(_columns(4, draw_(st.sampled_from((0, 1, 2, 20)))))
    return Series(name=draw_(NAMES), x=x, y=y, **({"low": low, "high": high} if draw_(st.booleans()) else {}))


@st.composite
def _figures(draw_: st.DrawFn) -> Figure:
    title, note, across, down = (draw_(NAMES) for _ in range(4))
    size, kind = draw_(st.integers(0, 5)), draw_(st.integers(0, 5))
    names = draw_(st.lists(NAMES, min_size=size, max_size=size))
    values, low, high, more = draw_(_columns(4, size))
    if kind == 0:
        marks = [Mark(label=name, x=x) for name, x in zip(names, values, strict=True)]
        lines = draw_(st.lists(_series(), max_size=3))
        return Curve(title=title, note=note, x_label=across, y_label=down, series=lines, marks=marks)
    if kind == 1:
        rows = draw_(st.lists(NAMES, max_size=4))
        cells = draw_(_columns(len(rows), size))
        return Matrix(title=title, note=note, rows=rows, columns=names, values=cells, value_label=across)
    if kind == 2:
        return Bars(
            title=title, note=note, labels=names, values=values, value_label=across, low=low, high=high
        )
    if kind == 3:
        return Waterfall(
            title=title, note=note, labels=names, values=values, total_label=across, limit=draw_(NUMBERS),
            limit_label=down, value_label=down,
        )  # fmt: skip
    if kind == 4:
        return Histogram(title=title, note=note, x_label=across, edges=[*values, draw_(NUMBERS)], counts=low)
    groups = [Points(name=across, x=values, y=low, labels=names), Points(name=down, x=high, y=more)]
    return Scatter(
        title=title, note=note, x_label=across, y_label=down, groups=groups,
        lines=draw_(st.lists(_series(), max_size=2)), equal=draw_(st.booleans()),
    )  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_figures())
def test_any_figure_is_well_formed_and_holds_finite_numbers_inside_the_picture(figure: Figure) -> None:
    for text, space in ((draw(figure), ""), (svg(figure), "{http://www.w3.org/2000/svg}")):
        root = ElementTree.fromstring(text.encode())
        assert {element.tag.removeprefix(space) for element in root.iter()} <= {
            "figure", "figcaption", "strong", "span", "bdi", "p", "svg", "style", "title", "g", "path",
            "rect", "text",
        }  # fmt: skip
        _, _, width, height = map(
            float, next(e for e in root.iter() if e.get("viewBox")).get("viewBox").split()
        )
        for element in root.iter():
            assert not any(name.startswith("on") or name == "id" for name in element.attrib)
            for name in ("x", "y", "width", "height", "d", "transform", "fill-opacity", "points"):
                assert not re.search(r"nan|inf|e[+-]?\d", element.get(name, "").replace("translate", ""))
        for element in root.iter(f"{space}text"):
            assert -1 <= float(element.get("x")) <= width + 1
            assert -1 <= float(element.get("y")) <= height + 1
    assert draw(figure) == draw(figure)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_in_every_place(name: str) -> None:
    text = draw(Bars(title=name, labels=[name, "b"], values=[1, 2], value_label=name, note=name))
    assert "<script" not in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff\ufffe]", text)
    title = ElementTree.fromstring(text).find("figcaption/strong/bdi").text or ""
    said = name.replace("\n", " ").replace("\t", " ")
    if said.isprintable():
        assert title.strip("\u2068\u2069") == said
    if "\u05e9" in name:
        assert f">\u2068{name}\u2069<" in text  # what follows in the line keeps its direction


def _texts(figure: Figure) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(draw(figure)).iter() if e.tag in ("text", "p")]


@pytest.mark.parametrize(
    ("values", "limit", "said"),
    [
        ((1.9636, 0.0766), 0.013, "The total, 2.040, is 157 times the limit, .013."),
        ((0.5, 0.3, 0.1), 0.6, "The total, .900, is 1.5 times the limit, .600."),
        ((0.1, 0.2), 0.4, "The total, .300, is within the limit, .400."),
        ((0.25, 0.25), 0.5, "The total, .500, is within the limit, .500."),
        ((0.25, 0.2501), 0.5, "The total, .500, is just above the limit, .500."),
        ((1.0,), -0.2, "The total, 1.000, is above the limit, -.200, which leaves no room at all."),
        ((1.0,), 5e-324, "The total, 1.000, is over a million times the limit, 4.9e-324."),
    ],
)
def test_a_waterfall_adds_up_and_says_how_the_total_stands(
    values: tuple[float, ...], limit: float, said: str
) -> None:
    labels = [f"share {i}" for i in range(len(values))]
    figure = Waterfall(
        title="t", labels=labels, values=values, total_label="rho", limit=limit, limit_label="allowed",
        value_label="rho",
    )  # fmt: skip
    assert said in _texts(figure)
    boxes = list(ElementTree.fromstring(draw(figure)).iter("rect"))
    assert len(boxes) == len(values) + 1
    edges = [(float(b.get("x")), float(b.get("x")) + float(b.get("width"))) for b in boxes]
    for (_, end), (start, _) in pairwise(edges[:-1]):
        assert start == pytest.approx(end, abs=1.2)
    assert edges[-1] == pytest.approx((edges[0][0], edges[-2][1]), abs=1.2)


def test_a_matrix_prints_its_values_and_leaves_a_diagonal_that_says_nothing_plain() -> None:
    names = list("abc")
    cells = [[1.0, 0.25, -0.5], [0.25, 1.0, 0.125], [-0.5, 0.125, 1.0]]
    figure = Matrix(title="t", rows=names, columns=names, values=cells, value_label="cosine")
    texts = _texts(figure)
    assert [texts.count(value) for value in (".250", "-.500", ".125")] == [3, 3, 2], "once more on the scale"
    boxes = [b for b in ElementTree.fromstring(draw(figure)).iter("rect") if b.find("title") is not None]
    assert [b.get("class") for b in boxes] == ["clear" if i % 4 == 0 else "heat" for i in range(9)]
    assert boxes[1].find("title").text == "a, b: .250"
    assert "The diagonal is 1.000 throughout and left without colour." in texts


def _luminance(colour: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _contrast(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    dark, light = sorted((_luminance(a), _luminance(b)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_text_has_contrast_on_the_ground_and_on_every_step_of_the_scale(palette: dict[str, str]) -> None:
    ground = _rgb(palette["--ground"])
    assert min(_contrast(_rgb(palette[name]), ground) for name in ("--ink", "--soft")) >= 4.5
    row = [i / 11 for i in range(12)]
    cells = [[v + 0.04 * k for v in row] for k in range(3)]
    figure = Matrix(title="t", rows="abc", columns="abcdefghijkl", values=cells, value_label="v")
    root = ElementTree.fromstring(draw(figure))
    boxes = [b for b in root.iter("rect") if b.find("title") is not None]
    printed = [t for t in root.iter("text") if (t.get("class") or "").startswith("on")]
    assert len(printed) == len(boxes) == 36
    for box, text in zip(boxes, printed, strict=True):
        share = float(box.get("fill-opacity"))
        mixed = tuple(
            (1 - share) * g + share * h for g, h in zip(ground, _rgb(palette["--heat"]), strict=True)
        )
        ink = palette["--on-heat" if text.get("class") == "on" else "--on-full-heat"]
        assert _contrast(mixed, _rgb(ink)) >= 4.5


def test_large_figures_stay_small_and_say_what_is_left_out() -> None:
    names = [f"class {i}" for i in range(300)]
    cells = [[math.sin(i * j) for j in range(300)] for i in range(300)]
    large = Matrix(title="t", rows=names, columns=names, values=cells, value_label="v")
    assert len(draw(large)) < 1_500_000
    assert any("shown by colour alone" in text for text in _texts(large))
    x = [float(i) for i in range(6000)]
    group = Points(name="g", x=x, y=[v % 7 for v in x], labels=[f"image-{i:05}.png" for i in range(6000)])
    cloud = Scatter(title="t", x_label="x", y_label="y", groups=[group])
    assert len(draw(cloud)) < 600_000
    assert "4,000 of 6,000 points are drawn, evenly from each group." in _texts(cloud)
    peak = [0.0] * 6000
    peak[3210] = 1.0
    line = draw(Curve(title="t", x_label="x", y_label="y", series=[Series(name="s", x=x, y=peak)]))
    points = re.search(r'class="series s0" d="(M[^"]{500,})"', line)[1]
    assert len(points) < 10_000
    assert min(float(p.split()[1]) for p in points[1:].split("L")) == pytest.approx(51, abs=1), "peak is kept"
    bars = Bars(title="t", labels=names, values=x[:300], value_label="v")
    assert "The first 60 of 300 are drawn." in _texts(bars)


def test_marks_and_names_do_not_cover_one_another() -> None:
    marks = [Mark(label=f"delta of rule {i}", x=5 + i / 10) for i in range(4)]
    curve = Curve(
        title="t", x_label="x", y_label="y", series=[Series(name="s", x=[0, 10], y=[0, 1])], marks=marks
    )
    x = [i / 50 for i in range(12)]
    few = Scatter(
        title="t", x_label="x", y_label="y",
        groups=[Points(name="g", x=[*x, 9], y=[1.0] * 13, labels=[f"encoder {i}" for i in range(13)])],
    )  # fmt: skip
    for figure, kind in ((curve, "delta"), (few, "encoder")):
        texts = [
            t for t in ElementTree.fromstring(draw(figure)).iter("text") if (t.text or "").startswith(kind)
        ]
        boxes = [(float(t.get("x")), float(t.get("y")), 7.3 * len(t.text)) for t in texts]
        assert len(boxes) == (4 if kind == "delta" else 13)
        for i, (x, y, width) in enumerate(boxes):
            assert all(abs(y - b) >= 13 or x + width <= a or a + w <= x for a, b, w in boxes[:i])


def test_names_that_differ_in_the_middle_alone_are_told_apart() -> None:
    names = [f"{'common' * 8} {i} {'ending' * 8}" for i in range(12)]
    points = [Points(name=name, x=[i], y=[i % 3], labels=[name]) for i, name in enumerate(names)]
    line = [Series(name=name, x=[0, 1], y=[0, i]) for i, name in enumerate(names[:6])]
    for figure in (
        Matrix(title="t", rows=names, columns=names, values=[[1.0] * 12] * 12, value_label="v"),
        Bars(title="t", labels=names[:6], values=[1.0] * 6, value_label="v"),
        Bars(title="t", labels=names * 2, values=[1.0] * 24, value_label="v"),
        Scatter(title="t", x_label="x", y_label="y", groups=points),
        Curve(title="t", x_label="x", y_label="y", series=line),
    ):
        root = ElementTree.fromstring(draw(figure))
        cut = {e.text: e[0].text for e in root.iter("text") if len(e)}
        assert len(cut) >= 6
        assert all(short and short.strip("\u2026") in whole for short, whole in cut.items() if whole)
        assert len(set(cut.values())) == len(cut)
        titles = [e.text.rpartition(":")[0] for e in root.iter("title") if "common" not in (e.text or "")]
        assert len(titles) == len(set(titles)), "cells are told apart on hovering, too"


def test_names_that_fit_stay_as_they_are() -> None:
    drawn = draw(Bars(title="t", labels=["a\tb", "a b"], values=[1.0, 2.0], value_label="v"))
    assert len(re.findall(r"<text [^>]*>a b</text>", drawn)) == 2


def test_the_last_name_of_a_column_stands_clear_of_the_one_before() -> None:
    for n in (60, 97, 300):
        names = [f"class {i}" for i in range(n)]
        cells = [[float(i == j) for j in range(n)] for i in range(n)]
        drawn = draw(Matrix(title="t", rows=names, columns=names, values=cells, value_label="v"))
        places = [float(x) for x in re.findall(r'<text x="([\d.]+)"[^>]* transform="rotate', drawn)]
        assert min(b - a for a, b in pairwise(places)) >= 11
        assert max(places) <= 480


def test_sixty_figures_on_one_page_share_one_style_and_no_ids() -> None:
    figure = Histogram(title="t", x_label="v", edges=[0, 1, 2], counts=[3, 4])
    assert " id=" not in draw(figure)
    assert "<style" not in draw(figure)
    assert "prefers-color-scheme: dark" in STYLE
    assert "var(" not in svg(figure), "programs that convert SVG know no variables"
    assert min(map(int, re.findall(r"font: (\d+)px", STYLE))) * 328 / 480 >= 9.5

"""Estimates and figures: finite numbers or a reason, never a silent NaN."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch

from sslaudit.errors import MetricError
from sslaudit.figures import Bars, Curve, Histogram, Matrix, Series
from sslaudit.numbers import finite
from sslaudit.results import Estimate, Interval

NOT_FINITE = [
    math.nan,
    math.inf,
    -math.inf,
    np.float32("nan"),
    torch.tensor(math.inf),
    Decimal("NaN"),
    10**400,
]
NO_NUMBER = [None, "abc", [1.0], {}, 1j, np.array([1.0, 2.0]), object()]


@pytest.mark.parametrize("value", NOT_FINITE + NO_NUMBER, ids=lambda value: repr(value)[:15])
def test_what_is_no_finite_number_is_refused_by_name(value: Any) -> None:
    with pytest.raises(MetricError, match="the width"):
        finite(value, "the width")


@pytest.mark.parametrize(
    "value", [1, 1.5, True, np.float16(1.5), np.int64(3), torch.tensor(2.0), Decimal("0.25")]
)
def test_scalars_of_any_library_become_floats(value: Any) -> None:
    number = finite(value, "x")
    assert type(number) is float
    assert number == float(value)


def test_a_value_needs_an_interval_or_the_reason_why_there_is_none() -> None:
    with pytest.raises(MetricError, match="no_interval"):
        Estimate(value=0.5)
    assert Estimate(value=0.5, no_interval="exact").interval is None
    assert Estimate(value=np.float32(0.5), interval=Interval(low=0, high=1, method="Wilson")).value == 0.5


def test_no_value_needs_a_reason() -> None:
    with pytest.raises(MetricError, match="reason"):
        Estimate(value=None)
    answer = Estimate.not_applicable("one class")
    assert (answer.value, answer.reason, answer.verdict) == (None, "one class", "not-applicable")


@pytest.mark.parametrize("value", NOT_FINITE, ids=repr)
def test_nan_reaches_neither_value_nor_interval_nor_details(value: Any) -> None:
    with pytest.raises(MetricError, match="value"):
        Estimate(value=value, no_interval="exact")
    with pytest.raises(MetricError, match="interval high"):
        Interval(low=0, high=value, method="Wilson")
    if not isinstance(value, int):
        with pytest.raises(MetricError, match="detail 'share'"):
            Estimate(value=0, no_interval="exact", details={"share": value})


def test_an_interval_stands_upright() -> None:
    with pytest.raises(MetricError, match="upside down"):
        Interval(low=1, high=0, method="Wilson")
    assert Interval(low=np.float32(0.5), high=0.5, method="exact").low == 0.5


def test_details_are_plain_scalars() -> None:
    given = {"k": np.int64(5), "t": np.float32(0.5), "ok": np.bool_(True), "on": torch.tensor(True), "s": "x"}
    details = Estimate(value=0, no_interval="exact", details={**given, "none": None, "n": 7}).details
    assert details == {"k": 5, "t": 0.5, "ok": True, "on": True, "s": "x", "none": None, "n": 7}
    assert [type(d) for d in details.values()] == [int, float, bool, bool, str, type(None), int]


@pytest.mark.parametrize("detail", [[1, 2], {"a": 1}, 1j, np.ones(2), torch.ones(2)])
def test_a_detail_that_is_no_scalar_is_refused_by_name(detail: Any) -> None:
    with pytest.raises(MetricError, match="detail 'pairs'"):
        Estimate(value=0, no_interval="exact", details={"pairs": detail})


def test_figures_hold_plain_floats() -> None:
    series = Series(name="knn", x=np.arange(3), y=torch.ones(3), low=[0, 0, 0], high=(2, 2, 2))
    curve = Curve(title="t", x_label="x", y_label="y", series=[series])
    matrix = Matrix(title="m", rows=["a"], columns=["b", "c"], values=np.eye(2)[:1], value_label="share")
    assert curve.series == (series,)
    assert (series.x, series.y, series.high) == ((0.0, 1.0, 2.0), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0))
    assert matrix.values == ((1.0, 0.0),)
    assert {type(v) for v in (*series.x, *series.y, *matrix.values[0])} == {float}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Series(name="s", x=[0, 1], y=[0]),
        lambda: Series(name="s", x=[0], y=[0], low=[0, 1]),
        lambda: Series(name="s", x=[0], y=[math.nan]),
        lambda: Bars(title="b", labels=["a", "b"], values=[1], value_label="v"),
        lambda: Bars(title="b", labels=["a"], values=[1], high=[1, 2], value_label="v"),
        lambda: Matrix(title="m", rows=["a"], columns=["b"], values=[[1], [2]], value_label="v"),
        lambda: Matrix(title="m", rows=["a"], columns=["b", "c"], values=[[1]], value_label="v"),
        lambda: Matrix(title="m", rows=["a"], columns=["b"], values=[[math.inf]], value_label="v"),
        lambda: Histogram(title="h", x_label="x", edges=[0, 1], counts=[1, 2]),
        lambda: Histogram(title="h", x_label="x", edges=[0, 1], counts=[None]),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_refused(make: Any) -> None:
    with pytest.raises(MetricError):
        make()

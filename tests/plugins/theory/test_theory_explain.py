"""Theorem 1 explained with the numbers of a card."""

import json
from typing import Any

import numpy as np
import pytest

from sslaudit_theory.metrics.explain import explain
from sslaudit_theory.metrics.ladder.words import LABELS, number, percent


def rungs(ladder: Any, *, collapsed: bool, **options: Any) -> dict[str, dict[str, Any]]:
    """Details as a card that was read gives them."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3
    views = np.repeat(np.eye(3)[labels][:, None], 2, axis=1)
    pixels = np.repeat((100 * labels)[:, None], 24, axis=1).reshape(240, 2, 3, 2, 2).astype(np.uint8)
    if not collapsed:
        views = views + rng.normal(size=views.shape)
        pixels = rng.integers(0, 256, size=pixels.shape).astype(np.uint8)
    test = np.flatnonzero(np.arange(240) // 3 % 2 == 0)
    found = ladder(views, labels, test, pixels, classes=["cat", "dog", "owl"], **options)
    details: dict[str, dict[str, Any]] = json.loads(
        json.dumps({k: dict(e.details) for k, e in found.items()})
    )
    return details


@pytest.mark.parametrize("collapsed", [True, False])
def test_the_formula_carries_the_numbers_of_the_card(ladder: Any, collapsed: bool) -> None:
    details = rungs(ladder, collapsed=collapsed)
    text = explain(details)
    first = details[""]
    assert max(map(len, text.splitlines())) <= 80
    assert "rho = 2 (1 - sigma) + R_eps / min p + sigma (L delta / r + 2 eps / r)" in text
    sigma, R, p, L = (number(first[name]) for name in ("sigma", "R", "p_min", "L"))
    assert f"= 2 (1 - {sigma}) + {R} / {p} + {sigma} ({L} x " in text
    assert f"= {number(first['rho'])}" in text
    assert "slides and ICLR 2023" in text
    for symbol in ("sigma", "delta", "eps", "R_eps", "L", "r", "min p", "mu", "Delta_mu", "rho"):
        assert any(line.startswith(f"  {symbol} ") for line in text.splitlines()), symbol
    for name in details:
        assert LABELS[name] in text
    assert ("is not true" in text) is not collapsed
    assert ("So the error is at most" in text) is collapsed
    assert first["worst_pair"] in text
    assert "nan" not in text.lower()
    assert "None" not in text


def test_every_rung_says_its_verdict_in_words(ladder: Any) -> None:
    text = explain(rungs(ladder, collapsed=False))
    assert text.count("verdict   gives no guarantee") == 6
    assert " fails" not in text
    held = explain(rungs(ladder, collapsed=True))
    assert held.count("verdict   holds (point estimate)") >= 5
    assert "too few" in held


def test_a_rung_that_is_not_computable_says_why(ladder: Any) -> None:
    from sslaudit.results import Estimate

    empty = Estimate.not_applicable("no class has two training images")
    details = rungs(ladder, collapsed=False, results={"concentration": empty, "feature-concentration": empty})
    text = explain(details)
    assert "not computable" in text
    assert "no class has two training images" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_withdrawn_bound_certifies_no_images(ladder: Any) -> None:
    details = rungs(ladder, collapsed=True)
    said = "withdrawn: its bound 0 is below the measured error, at least .266"
    for name in ("", "sharp"):
        details[name] |= {"verdict": "inconclusive", "reason": said, "bound": None}
    text = " ".join(explain(details).split())
    assert f"Verdict: {said}" in text
    assert text.count(f"verdict inconclusive because {said}") == 2
    assert text.count("6 of 6 are met verdict") == 2
    assert "6 of 6 are met; classes certified: 3 of 3" in text  # the others


def test_long_class_names_are_wrapped(ladder: Any) -> None:
    details = rungs(ladder, collapsed=False)
    details["sharp"]["worst_pair"] = "a very long name of a class-another very long name of a class indeed"
    assert max(map(len, explain(details).splitlines())) <= 80


def test_nothing_is_needed_but_what_a_card_holds() -> None:
    assert "Theorem 1" in explain({})
    assert "no labels" in explain({"": {"reason": "the data has no labels"}})


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2.0412, "2.04"), (0.005, ".005"), (1.2e-5, "1.2e-05"), (-0.31, "-.310"), (12.345, "12.3"),
     (0.9999, "1.00"), (43210.0, "4.32e+04")],
)  # fmt: skip
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.12, "12 %"), (0.0131, "1.3 %"), (0.997, "99.7 %"), (1.0, "100 %"), (0.0, "0 %")]
)
def test_percentages_show_a_decimal_near_the_ends(share: float, text: str) -> None:
    assert percent(share) == text

"""The check in the space of the loss: collapse along a line, to a point, and what is none."""

import numpy as np
import pytest

from sslaudit import load_dataset
from sslaudit.checks import check_projections
from sslaudit.data.dataset import only
from sslaudit.results import Check
from sslaudit.store import InMemory

RNG = np.random.default_rng(0)
H = RNG.standard_normal((200, 16)).astype(np.float32)
LEFT = "what the embedding still tells apart is left from before"
ALONG, ACROSS = RNG.standard_normal((2, 16)).astype(np.float32)


def check(project, rows: np.ndarray = H, data=None) -> Check:
    return check_projections(InMemory(rows), project, data)


def line(noise: float):
    """All projections near one line through the origin, on both sides of it."""
    return lambda h: h[:, :1] * ALONG + noise * h


def share(z: np.ndarray) -> float:
    """The first eigenvalue of the covariance of the normalised rows, as a share, from float64."""
    rows = np.array([row / np.linalg.norm(row) for row in z.astype(np.float64)])
    values = np.linalg.eigvalsh(np.cov(rows.T))
    return float(values[-1] / values.sum())


def test_healthy_projections_pass() -> None:
    assert check(lambda h: h) == Check(
        name="projections", status="pass", message="the space of the loss tells images apart"
    )


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.5, 1.0])
def test_a_line_is_a_collapse_from_nine_tenths_of_the_variance_on(noise: float) -> None:
    z = line(noise)(H)
    found = check(line(noise))
    assert (found.status == "fail") == (share(z) > 0.9)
    if noise == 0.1:  # nearer to a line the rule of all embeddings speaks first
        said = f"{100 * share(z):.1f} % of the variance of directions lies along one line"
        assert found.message == f"in the space of the loss, {said}; {LEFT}"


def test_both_sides_of_the_rule_are_met() -> None:
    assert share(line(0.05)(H)) > 0.9 > share(line(1.0)(H))


def test_a_point_and_what_is_not_finite_fail() -> None:
    assert check(lambda h: np.ones((len(h), 4), np.float32)).message == (
        f"in the space of the loss, all images have one projection; {LEFT}"
    )
    assert "have NaN or Inf" in check(lambda h: np.full((len(h), 4), np.nan, np.float32)).message
    assert check(lambda h: np.zeros((len(h), 4), np.float32)).status == "fail"


def test_one_dimension_few_images_and_two_classes_are_no_collapse() -> None:
    assert check(lambda h: np.tanh(h[:, :1])).status == "pass"
    assert check(line(0.05), H[:6]).status == "pass"
    digits = load_dataset("digits")
    binary = [i for i in range(len(digits)) if digits.classes[digits.labels[i]] in ("0", "1")][:200]
    two = only(digits, binary)
    sides = np.sign(two.labels - 0.5).astype(np.float32)[:, None]
    assert check(lambda h: sides * ALONG + 0.1 * h, H[: len(two)], two).status == "pass"

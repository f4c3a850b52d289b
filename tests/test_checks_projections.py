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
DIGITS = load_dataset("digits")
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


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 1.0])
def test_where_classes_are_not_known_a_line_fails_above_nine_tenths_and_warns_above_two_thirds(
    noise: float,
) -> None:
    z = line(noise)(H)
    found = check(line(noise))
    assert found.status == ("fail" if share(z) > 0.9 else "warn" if share(z) > 2 / 3 else "pass")
    said = (
        f"in the space of the loss, {100 * share(z):.1f} % of the variance of directions lies along one line"
    )
    if noise == 0.1:  # nearer to a line the rule of all embeddings speaks first
        assert found.message == f"{said}, above the limit of 90.0 %; {LEFT}"
    if found.status == "warn":
        assert found.message == f"{said}, as for images of two kinds"


def test_all_sides_of_the_rule_are_met() -> None:
    assert share(line(0.1)(H)) > 0.9 > share(line(0.25)(H)) > 2 / 3 > share(line(1.0)(H))


@pytest.mark.parametrize(
    ("counts", "limit"),
    [
        ([20] * 10, 1 / 9 + 2 / 3 * 8 / 9),  # K equally large classes: 1 / (K - 1) of the variance
        ([60] * 3, 1 / 2 + 2 / 3 * 1 / 2),
        ([90, 60, 50], None),
        ([110, *[10] * 9], None),
    ],
    ids=str,
)
def test_with_labels_it_fails_two_thirds_of_the_way_from_what_classes_alone_give_to_a_line(
    counts: list[int], limit: float | None
) -> None:
    assert DIGITS.labels is not None
    labelled = only(
        DIGITS,
        [i for k, count in enumerate(counts) for i in np.flatnonzero(DIGITS.labels == k)[:count].tolist()],
    )
    p = np.array(counts) / sum(counts)
    values = np.linalg.eigvalsh(np.diag(p) - np.outer(p, p))
    alone = values[-1] / values.sum()
    if limit is not None:
        assert alone + 2 / 3 * (1 - alone) == pytest.approx(limit, abs=1e-12)
    limit = alone + 2 / 3 * (1 - alone)
    rows = H[: len(labelled)]
    noises = np.geomspace(0.05, 1.0, 60)
    shares = np.array([share(line(noise)(rows)) for noise in noises])
    found = [check(line(noise), rows, labelled) for noise in noises]
    by_direction = [one.status == "pass" or "variance of directions" in one.message for one in found]
    said = f", above the limit of {100 * limit:.1f} % for these classes; {LEFT}"
    assert all(one.message.endswith(said) for one in found if "directions" in one.message)
    judged = by_direction & (np.abs(shares - limit) > 1e-3)  # nearer to a line another rule speaks first
    failed = np.array([one.status == "fail" for one in found])
    assert np.array_equal(failed[judged], (shares > limit)[judged])
    assert len(np.unique(failed[judged])) == 2


def test_a_point_and_what_is_not_finite_fail() -> None:
    assert check(lambda h: np.ones((len(h), 4), np.float32)).message == (
        f"in the space of the loss, all images have one projection; {LEFT}"
    )
    assert "have NaN or Inf" in check(lambda h: np.full((len(h), 4), np.nan, np.float32)).message
    assert check(lambda h: np.zeros((len(h), 4), np.float32)).status == "fail"


def test_one_dimension_few_images_and_two_classes_are_no_collapse() -> None:
    assert DIGITS.labels is not None
    assert check(lambda h: np.tanh(h[:, :1])).status == "pass"
    assert check(line(0.05), H[:6]).status == "pass"
    binary = [i for i in range(len(DIGITS)) if DIGITS.classes[DIGITS.labels[i]] in ("0", "1")][:200]
    two = only(DIGITS, binary)
    sides = np.sign(two.labels - 0.5).astype(np.float32)[:, None]
    assert check(lambda h: sides * ALONG + 0.1 * h, H[: len(two)], two).status == "pass"


def test_two_classes_of_one_direction_each_are_no_collapse_whatever_their_sizes() -> None:
    """All variance lies along one line; a share or a limit that rounding moves apart must not fail it."""
    assert DIGITS.labels is not None
    places = [np.flatnonzero(DIGITS.labels == k).tolist() for k in (0, 1)]
    for sizes in RNG.integers(5, 100, (40, 2)).tolist():
        two = only(DIGITS, [i for of, size in zip(places, sizes, strict=True) for i in of[:size]])
        directions = RNG.standard_normal((2, 16)).astype(np.float32)
        z = directions[two.labels]
        assert check(lambda h, z=z: z, H[: len(two)], two).status == "pass"

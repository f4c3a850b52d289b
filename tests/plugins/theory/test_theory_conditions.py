"""Theorem 1 and its siblings: exact values, the loose step of the printed argument, what cannot be."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sslaudit_theory.certificates.conditions import (
    MAX_RHO,
    beta,
    beta_shares,
    certified_mass,
    error_bound,
    good_mass,
    rho_max,
    rho_of_class,
    rho_star,
    theorem1,
    theorem1_by_class,
    theorem1_sharp,
    threshold,
)
from sslaudit_theory.certificates.verdicts import ROUNDING, Certificate, Guarantee, Shares, guarantee_of_bound

probabilities = st.floats(0, 1)
lengths = st.floats(0, 3)


def test_the_simple_example() -> None:
    rho = rho_max(sigma=1, delta=0, eps=0, R=0, p_min=0.1, L=3)
    assert (rho.total, rho.dominant) == (0, None)
    assert threshold(rho.total, 0) == 1
    assert error_bound(1, 0) == 0


def test_shares_of_rho() -> None:
    rho = rho_max(sigma=0.95, delta=0.01, eps=0.02, R=0.02, p_min=0.1, L=2)
    assert rho.total == pytest.approx(0.357, abs=1e-12)
    expected = {"concentration": 0.1, "misaligned": 0.2, "distance": 0.019, "tolerance": 0.038}
    assert rho.named() == pytest.approx(expected, abs=1e-12)
    assert rho.dominant == "misaligned"
    assert threshold(rho.total, 0.1) == pytest.approx(-0.2519852069711043, abs=1e-12)
    assert error_bound(0.95, 0.02) == pytest.approx(0.07, abs=1e-12)
    assert rho_of_class(0.95, 0.01, 0.02, 0.02, 2, p=0.1) == rho
    assert rho_of_class(0.95, 0.01, 0.02, 0.2, 2).total == pytest.approx(0.357, abs=1e-12)


def test_a_square_root_without_remainder() -> None:
    rho = rho_max(sigma=1, delta=0.01, eps=0.005, R=0, p_min=0.5)
    assert rho.total == pytest.approx(0.02, abs=1e-15)
    assert threshold(rho.total, 0) == pytest.approx(0.78, abs=1e-12)


def test_the_budget() -> None:
    assert rho_star(0, 0) == pytest.approx(2 - math.sqrt(3), abs=1e-12)
    assert rho_star(0.95, 0.2) == 0
    assert rho_star(0.9, 0.2) == 0
    assert rho_star(-1, 0) == pytest.approx(MAX_RHO, abs=1e-12)
    # A small budget keeps its digits: rho* is c^2 / 2 to first order.
    assert rho_star(1 - 1e-9, 0) == pytest.approx(0.5e-18, rel=1e-6)


@given(st.floats(-1, 1), st.floats(0, 1))
@example(1 - 2.0**-53, 0.0)
@example(1 - 1e-11, 0.0)
def test_the_budget_is_the_root_of_the_threshold(overlap: float, delta_mu: float) -> None:
    budget = rho_star(overlap, delta_mu)
    assert 0 <= budget <= MAX_RHO < 0.764
    assert (budget > 0) == (1 - delta_mu / 2 - overlap > ROUNDING)  # what is met by rounding alone is not
    if budget > 0:
        assert threshold(budget, delta_mu) == pytest.approx(overlap, abs=1e-9)


@given(probabilities, lengths, lengths, probabilities, st.floats(0.01, 1), lengths, st.floats(0.1, 3))
def test_rho_is_monotone(sigma: float, delta: float, eps: float, R: float, p: float, L: float, r: float):
    def rho(**change: float) -> float:
        given = {"sigma": sigma, "delta": delta, "eps": eps, "R": R, "p_min": p, "L": L, "r": r}
        return rho_max(**{**given, **change}).total

    least = rho() * (1 - 1e-12)
    assert rho(delta=delta + 0.5) >= least
    assert rho(eps=eps + 0.5) >= least
    assert rho(R=(R + 1) / 2) >= least
    assert rho(p_min=p / 2) >= least
    assert rho(L=L + 0.5) >= least
    assert rho(r=r / 2) >= least
    # More of a class within delta helps as long as being within it is better than being opposite.
    better = rho(sigma=(sigma + 1) / 2)
    assert better <= rho() + 1e-12 if L * delta + 2 * eps <= 2 * r else better >= least
    scaled = rho(delta=delta * 255, L=L / 255)
    assert scaled == pytest.approx(rho(), rel=1e-12, abs=1e-300)


@given(probabilities, lengths, lengths, probabilities, lengths, st.floats(0.1, 3))
def test_beta_and_its_shares(sigma: float, delta: float, eps: float, R: float, L: float, r: float) -> None:
    q = float(good_mass(sigma, R))
    D = L * delta + 2 * eps
    expected = q * min(D / r, 2) + 2 * (1 - q)
    assert float(beta(q, D, r)) == pytest.approx(expected, rel=1e-12)
    shares = beta_shares(sigma, delta, eps, R, L, r)
    assert shares.total == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert shares.total <= 2 + 1e-12
    # Twice rho is never less, which repairs the printed argument up to rho = 1/2.
    assert shares.total <= 2 * rho_of_class(sigma, delta, eps, R, L, r).total + 1e-12
    measured = beta_shares(sigma, delta, eps, R, L, r, q=max(q, (q + sigma) / 2))
    assert measured.total <= shares.total + 1e-12


def test_the_printed_inner_inequality_is_loose() -> None:
    """Four images of class 1 with four views: three views of one image lie opposite to all others."""
    east, west, north = [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]
    views = np.array([[east] * 4] * 3 + [[west] * 3 + [east]] + [[north] * 4] * 4)
    labels = np.array([0] * 4 + [1] * 4)
    sup = [max(math.dist(a, b) for a in image for b in image) for image in views]
    R = np.mean([s > 0 for s in sup])
    assert R == 0.125
    # Every two images of a class share a view: delta = 0, sigma = 1.
    mu = views[labels == 0].mean(axis=(0, 1))
    rho = rho_of_class(1, 0, 0, R, p=0.5)
    assert (rho.total, views[0, 0] @ mu) == (0.25, 0.625)
    assert views[0, 0] @ mu < 1 - rho.total
    own = beta_shares(1, 0, 0, R / 0.5).total
    assert own == 0.5
    assert views[0, 0] @ mu >= 1 - own
    assert math.dist(views[0, 0], mu) <= own


def test_on_the_circle_end_to_end() -> None:
    degrees = [[0, 4], [2, 6], [5, 9], [180, 184], [183, 187], [178, 182, 170]]
    images = [
        np.array([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in image]) for image in degrees
    ]

    def distance(first: int, second: int) -> float:
        return min(math.dist(a, b) for a in images[first] for b in images[second])

    assert distance(0, 1) == pytest.approx(0.03490481287456702, abs=1e-12)
    assert distance(0, 2) == pytest.approx(0.017453070996747855, abs=1e-12)
    assert distance(3, 4) == pytest.approx(0.017453070996748112, abs=1e-12)
    delta, eps = (2 * math.sin(math.radians(a) / 2) for a in (2, 5))
    for members in ((0, 1, 2), (3, 4, 5)):
        assert all(distance(i, j) <= delta + 1e-12 for i in members for j in members)
    R = np.mean([max(math.dist(a, b) for a in image for b in image) > eps + 1e-12 for image in images])
    mu = np.stack([np.mean([image.mean(axis=0) for image in images[s]], axis=0) for s in np.s_[:3, 3:]])
    overlap = mu @ mu.T
    delta_mu = 1 - min(np.diagonal(overlap))
    assert delta_mu == pytest.approx(0.006930020489125166, abs=1e-12)
    assert overlap[0, 1] == pytest.approx(-0.9938207218921852, abs=1e-12)

    found = theorem1(overlap, delta_mu, [0.5, 0.5], sigma=1, delta=delta, eps=eps, R=R)
    assert found.shares[0].total == pytest.approx(0.5427156956692443, abs=1e-12)
    assert found.margins[0, 1] + overlap[0, 1] == pytest.approx(-0.5880210926038643, abs=1e-12)
    assert found.guarantee is Guarantee.HOLDS_POINT_ESTIMATE
    assert found.bound == pytest.approx(1 / 6, abs=1e-12)
    assert found.mass == pytest.approx(5 / 6, abs=1e-12)
    assert (found.pairs, found.pairs_met, found.dominant) == (2, 2, "misaligned")


def test_the_repair_beyond_one_half() -> None:
    """Where rho > 1/2, centres as long as the condition asks for exclude a good image so far outside."""
    x = np.sqrt(2 * np.linspace(0.5, MAX_RHO, 10_001))
    asked = np.sqrt((1 + x) ** 2 - 1) - 1
    left = np.sqrt(np.maximum(0, 1 - x * (2 - x**2) * (2 - x)))
    assert (asked - left).min() == pytest.approx(0.2555, abs=2e-4)
    assert (asked - left).min() >= 0.2555
    below = np.linspace(0, 0.5, 1001)
    assert (2 * below <= np.sqrt(2 * below) + 1e-15).all()


def test_orthogonal_centres_printed_and_sharp() -> None:
    overlap, distances = np.eye(2), math.sqrt(2) * (1 - np.eye(2))

    def held(eps: float) -> tuple[bool, bool]:
        printed = theorem1(overlap, 0, [0.5, 0.5], sigma=1, delta=0, eps=eps, R=0)
        sharp = theorem1_sharp(distances, [0.5, 0.5], sigma=1, delta=0, eps=eps, R=0)
        return printed.guarantee.met, sharp.guarantee.met

    assert held(0.267 / 2) == (True, True)
    assert held(0.269 / 2) == (False, True)
    assert held(0.706 / 2) == (False, True)
    assert held(0.708 / 2) == (False, False)


def test_verdicts_in_words() -> None:
    overlap = np.array([[1, 0, -0.4], [0, 1, 0.99], [-0.4, 0.99, 1]])
    p = [0.5, 0.3, 0.2]
    found = theorem1(overlap, 0.1, p, sigma=0.95, delta=0.01, eps=0.01, R=0)
    assert found.guarantee is Guarantee.CENTRES_TOO_CLOSE
    assert found.worst == (1, 2)
    assert found.pair(0, 1) is found.pair(0, 2) is Guarantee.HOLDS_POINT_ESTIMATE
    assert (found.pairs_met, found.pairs) == (4, 6)
    assert found.rows.tolist() == [True, False, False]
    assert found.bound is None
    assert found.mass == pytest.approx(0.5 * 0.95)
    assert found.guarantee.verdict == "fails"
    assert str(found.guarantee).startswith("gives no guarantee")

    far = np.array([[1, -0.5], [-0.5, 1]])
    vacuous = theorem1(far, 0, [0.9, 0.1], sigma=0.9, delta=0, eps=0, R=0, limits=True)
    assert vacuous.guarantee is vacuous.pair(0, 1) is Guarantee.VACUOUS
    assert vacuous.bound == pytest.approx(0.1)
    holds = theorem1(far, 0, [0.8, 0.2], sigma=0.9, delta=0, eps=0, R=0, limits=True)
    assert (holds.guarantee, holds.guarantee.verdict) == (Guarantee.HOLDS, "holds")
    fails = theorem1(far, 0, [0.8, 0.2], sigma=0.5, delta=0, eps=0, R=0)
    assert (fails.guarantee, fails.bound, fails.mass) == (Guarantee.CONDITION_FAILS, None, 0)
    assert fails.dominant == "concentration"
    assert "fail" not in " ".join(Guarantee)
    assert Guarantee.NOT_COMPUTABLE.verdict == "not-applicable"
    assert not Guarantee.NOT_COMPUTABLE.met


def test_equal_sides_are_not_met() -> None:
    overlap = np.array([[1, 0.78], [0.78, 1]])
    found = theorem1(overlap, 0, [0.5, 0.5], sigma=1, delta=0.01, eps=0.005, R=0)
    assert found.guarantee is Guarantee.CONDITION_FAILS
    sharp = theorem1_sharp(1 - np.eye(2), [0.5, 0.5], sigma=0.75, delta=0, eps=0, R=0)
    assert (sharp.margins == 0).all()
    assert sharp.guarantee is Guarantee.CONDITION_FAILS
    coincide = theorem1_sharp(np.zeros((2, 2)), [0.5, 0.5], sigma=1, delta=0, eps=0, R=0)
    assert coincide.guarantee is Guarantee.CENTRES_TOO_CLOSE


@given(st.integers(0, 2**31), st.integers(2, 5))
def test_relabelling_permutes_the_verdicts(seed: int, K: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(K, 3))
    centres *= rng.uniform(0.8, 1, (K, 1)) / np.linalg.norm(centres, axis=1, keepdims=True)
    sigma, R = 1 - 0.1 * rng.random(K) ** 3, 0.05 * rng.random(K) ** 3
    p = rng.dirichlet(np.full(K, 5.0))
    order = rng.permutation(K)

    def certificates(k: np.ndarray) -> list[Certificate]:
        mu = centres[k]
        overlap = mu @ mu.T
        delta_mu = 1 - np.diagonal(overlap).min()
        distances = np.linalg.norm(mu[:, None] - mu, axis=2)
        common = {"delta": 0.01, "eps": 0.01}
        each = {"sigma": sigma[k], "R": R[k], **common}
        return [
            theorem1(overlap, delta_mu, p[k], sigma=sigma.min(), R=float(p @ R), **common),
            theorem1_by_class(overlap, delta_mu, p[k], **each),
            theorem1_sharp(distances, p[k], **each),
        ]

    for found, moved in zip(certificates(np.arange(K)), certificates(order), strict=True):
        assert moved.guarantee is found.guarantee
        assert moved.mass == pytest.approx(found.mass, abs=1e-12)
        assert 0 <= found.mass <= 1
        np.testing.assert_allclose(moved.margins, found.margins[np.ix_(order, order)], atol=1e-12)
        for i in range(K):
            for j in set(range(K)) - {i}:
                assert moved.pair(i, j) is found.pair(int(order[i]), int(order[j]))
        if found.bound is not None:
            assert found.bound == pytest.approx(1 - found.mass, abs=1e-12)
    printed, by_class, _ = certificates(np.arange(K))
    assert (by_class.margins >= printed.margins - 1e-12).all()
    assert by_class.mass >= printed.mass - 1e-12


def test_each_class_has_its_own_row() -> None:
    distances = np.array([[0, 1.8, 1.8], [1.8, 0, 0.2], [1.8, 0.2, 0]])
    p = [0.5, 0.25, 0.25]
    found = theorem1_sharp(
        distances, p, sigma=[0.9, 1, 1], delta=[0.2, 0.1, 0.1], eps=[0.1, 0, 0.05], R=[0.05, 0, 0]
    )
    # beta of class 0 is .85 * .4 + .3 = .64 < .9; .1 is not < .1; .2 is not < .1.
    assert [shares.total for shares in found.shares] == pytest.approx([0.64, 0.1, 0.2], abs=1e-12)
    assert found.rows.tolist() == [True, False, False]
    assert found.mass == pytest.approx(0.5 * 0.85)
    assert found.bound is None
    assert found.margins[0, 1] == pytest.approx(1.8 - 1.28)
    measured = theorem1_sharp(distances, p, sigma=[0.9, 1, 1], delta=0, eps=0, R=[0.05, 0, 0], q=[0.88, 1, 1])
    assert measured.guarantee is Guarantee.HOLDS_POINT_ESTIMATE
    assert measured.bound == pytest.approx(0.06)


def test_certified_mass() -> None:
    assert certified_mass([0.5, 0.3, 0.2], [0.9, 0.5, 1], [True, False, True]) == pytest.approx(0.65)
    assert certified_mass([0.5, 0.5], [1, 1], [True, True]) == 1
    assert good_mass([1, 0.2], [0.3, 0.5]).tolist() == [0.7, 0]


@given(st.lists(st.tuples(st.floats(0.01, 1), probabilities, st.booleans()), min_size=2, max_size=6))
def test_certified_mass_is_a_probability(rows: list[tuple[float, float, bool]]) -> None:
    weights, q, certified = (np.array(column) for column in zip(*rows, strict=True))
    p = weights / weights.sum()
    assert 0 <= certified_mass(p, q, certified) <= 1
    assert certified_mass(p, q, np.zeros(len(p), bool)) == 0


GOOD = {"sigma": 0.9, "delta": 0.1, "eps": 0.1, "R": 0.05, "p_min": 0.1}


@pytest.mark.parametrize(
    "change",
    [
        {"sigma": 1.1},
        {"sigma": -0.1},
        {"R": 1.1},
        {"R": -0.1},
        {"delta": -1},
        {"eps": math.nan},
        {"L": math.inf},
        {"L": -1},
        {"r": 0},
        {"p_min": 0},
        {"p_min": 1.5},
    ],
)
def test_impossible_premises(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"is |in "):
        rho_max(**{**GOOD, **change})


def test_impossible_geometry() -> None:
    premises = {"sigma": 1.0, "delta": 0.0, "eps": 0.0, "R": 0.0}
    good = np.eye(2)
    for overlap in (np.array([[1, 1.2], [1.2, 1]]), np.array([[1, np.nan], [np.nan, 1]])):
        with pytest.raises(ValueError, match=r"-1, 1|symmetric"):
            theorem1(overlap, 0, [0.5, 0.5], **premises)
    for bad in (np.array([[1, 0.2], [0.3, 1]]), np.eye(3)):
        with pytest.raises(ValueError, match="symmetric"):
            theorem1(bad, 0, [0.5, 0.5], **premises)
    for p in ([0.5, 0.6], [1.0, 0.0], [1.0], [[0.5, 0.5]]):
        with pytest.raises(ValueError, match="class"):
            theorem1(good, 0, p, **premises)
    for delta_mu in (-0.1, 2.5, math.nan):
        with pytest.raises(ValueError, match="Delta_mu"):
            theorem1(good, delta_mu, [0.5, 0.5], **premises)
    with pytest.raises(ValueError, match="Delta_mu"):
        theorem1_by_class(good, 3, [0.5, 0.5], **premises)
    for rho in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="rho"):
            threshold(rho, 0)
    with pytest.raises(ValueError, match="2 r"):
        theorem1_sharp(2.1 * (1 - good), [0.5, 0.5], **premises)
    with pytest.raises(ValueError, match="q is between"):
        theorem1_sharp(1 - good, [0.5, 0.5], **{**premises, "sigma": 0.8}, q=0.9)
    with pytest.raises(ValueError, match="-1, 1"):
        rho_star(1.5, 0)
    with pytest.raises(ValueError, match="q is in"):
        certified_mass([0.5, 0.5], [1.2, 0], [True, True])
    with pytest.raises(ValueError, match="q is in"):
        beta(1.2, 0)
    with pytest.raises(ValueError, match="not negative"):
        good_mass(1, -0.1)


def test_a_record_cannot_contradict_itself() -> None:
    met = theorem1(-0.5 * (1 - np.eye(2)), 0, [0.5, 0.5], sigma=1, delta=0, eps=0.01, R=0.01)
    unmet = theorem1(0.9 * (1 - np.eye(2)), 0, [0.5, 0.5], sigma=1, delta=0, eps=0.1, R=0.01)
    assert (met.guarantee.met, unmet.guarantee.met) == (True, False)
    impossible = [
        (unmet, {"bound": 0.01}, "a bound stands"),
        (met, {"bound": None}, "a bound stands"),
        (met, {"guarantee": Guarantee.CONDITION_FAILS}, "worst pair"),
        (met, {"guarantee": Guarantee.HOLDS}, "worst pair"),
        (unmet, {"guarantee": Guarantee.HOLDS_POINT_ESTIMATE}, "worst pair"),
        (met, {"bound": 0.7}, "does not read"),
        (met, {"bound": -0.1}, "error bound"),
        (met, {"bound": 1.1}, "error bound"),
        (met, {"vacuous": True}, "worst pair"),
        (met, {"too_close": ~np.eye(2, dtype=bool)}, "too close"),
        (unmet, {"mass": 0.5}, "certified mass"),
        (met, {"mass": 1.2}, "certified mass"),
        (met, {"margins": np.full((2, 2), np.nan)}, "finite"),
        (met, {"margins": np.zeros((3, 3))}, "K x K"),
    ]
    for record, change, message in impossible:
        with pytest.raises(ValueError, match=message):
            replace(record, **change)
    with pytest.raises(ValueError, match="two different"):
        met.pair(1, 1)
    with pytest.raises(ValueError, match="not negative"):
        Shares(0, -0.1, 0, 0)
    with pytest.raises(ValueError, match="impossible"):
        guarantee_of_bound(-0.1, 0.5, limits=True)
    with pytest.raises(ValueError, match="impossible"):
        guarantee_of_bound(math.nan, 0.5, limits=True)


@given(st.floats(0, 0.763))
def test_opposite_centres_have_the_largest_budget(rho: float) -> None:
    opposite = np.array([[1.0, -1.0], [-1.0, 1.0]])
    premises = {"sigma": 1.0, "eps": 0.0, "R": 0.0}
    assert theorem1(opposite, 0, [0.5, 0.5], delta=rho, **premises).guarantee.met
    beyond = theorem1(opposite, 0, [0.5, 0.5], delta=rho + MAX_RHO, **premises)
    assert beyond.guarantee is Guarantee.CONDITION_FAILS

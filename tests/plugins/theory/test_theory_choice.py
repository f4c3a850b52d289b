"""Choosing eps and delta against a search through all breakpoints, one at a time."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit_theory.certificates.choice import choose, choose_by_class, choose_for_class
from sslaudit_theory.certificates.conditions import theorem1, theorem1_by_class, theorem1_sharp

sizes = st.tuples(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 6))


def world(seed: int, n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """Sup-alignments with ties and zeros, and a step function sigma; often, not always, feasible."""
    rng = np.random.default_rng(seed)
    scale = rng.choice([0.01, 0.05, 0.5])
    sup = scale * rng.integers(0, 5, n) / 4 * (rng.random(n) < 0.9)
    deltas = scale * np.sort(rng.random(m))
    sigmas = np.sort(rng.choice([0.3, 0.9, 0.95, 1.0], m))
    return sup, deltas, sigmas, rng


def rho_naive(
    sup: np.ndarray, sigma: float, delta: float, eps: float, p: float, L: float, r: float
) -> tuple[float, float]:
    R = sum(s > eps for s in sup) / len(sup)
    return 2 * (1 - sigma) + R / p + sigma * (L * delta / r + 2 * eps / r), R


def threshold_naive(rho: float, delta_mu: float) -> float:
    return 1 - rho - math.sqrt(2 * rho) - delta_mu / 2


@given(sizes, st.sampled_from([1.0, 0.3]), st.sampled_from([1.0, 2.5]))
def test_against_all_breakpoints(size: tuple[int, int, int], L: float, r: float) -> None:
    sup, deltas, sigmas, rng = world(*size)
    p_min, overlap, delta_mu = rng.choice([0.1, 0.5]), rng.choice([-0.5, 0.1, 0.8, 0.99]), 0.05
    found = choose(sup, deltas, sigmas, p_min=p_min, max_overlap=overlap, delta_mu=delta_mu, L=L, r=r)
    bounds, rhos = [], []
    for delta, sigma in zip(deltas, sigmas, strict=True):
        for eps in [0.0, *sup]:
            rho, R = rho_naive(sup, sigma, delta, eps, p_min, L, r)
            rhos.append(rho)
            if threshold_naive(rho, delta_mu) - overlap > 1e-12:
                bounds.append((1 - sigma) + R)
    assert found.feasible == bool(bounds)
    assert found.feasible == (found.rho.total < found.budget)
    rho, R = rho_naive(sup, found.sigma, found.delta, found.eps, p_min, L, r)
    assert (found.R, found.rho.total) == pytest.approx((R, rho), abs=1e-12)
    assert found.sigma == sigmas[list(deltas).index(found.delta)]
    if bounds:
        assert (1 - found.sigma) + found.R == pytest.approx(min(bounds), abs=1e-12)
        assert found.distance < 1
        certificate = theorem1(
            np.array([[1, overlap], [overlap, 1]]),
            delta_mu,
            [p_min, 1 - p_min],
            sigma=found.sigma,
            delta=found.delta,
            eps=found.eps,
            R=found.R,
            L=L,
            r=r,
        )
        assert certificate.guarantee.met
    else:
        assert found.rho.total == pytest.approx(min(rhos), abs=1e-12)
    # Nothing between the breakpoints does better.
    for delta, sigma in zip(deltas, sigmas, strict=True):
        for eps in rng.random(10) * 1.2 * sup.max():
            rho, R = rho_naive(sup, sigma, delta, eps, p_min, L, r)
            if threshold_naive(rho, delta_mu) > overlap:
                assert (1 - found.sigma) + found.R <= (1 - sigma) + R + 1e-12
            elif not found.feasible:
                assert rho >= found.rho.total - 1e-12


@given(sizes, st.sampled_from([1.0, 0.3]), st.booleans())
def test_one_class_against_all_breakpoints(size: tuple[int, int, int], L: float, printed: bool) -> None:
    sup, deltas, sigmas, rng = world(*size)
    apart, overlap, delta_mu = rng.choice([0.2, 1.0, 1.9]), rng.choice([-0.9, 0.1]), 0.02
    found = choose_for_class(
        sup,
        deltas,
        sigmas,
        min_distance=apart,
        max_overlap=overlap if printed else None,
        delta_mu=delta_mu,
        L=L,
    )
    certified, betas = [0.0], []
    for delta, sigma in zip(deltas, sigmas, strict=True):
        for eps in [0.0, *sup]:
            rho, R = rho_naive(sup, sigma, delta, eps, 1.0, L, 1.0)
            q = max(0.0, sigma - R)
            betas.append(q * min(L * delta + 2 * eps, 2) + 2 * (1 - q))
            row = threshold_naive(rho, delta_mu) - overlap > 1e-12
            if apart - 2 * betas[-1] > 1e-12 or (printed and row):
                certified.append(q)
    if max(certified) > 0:
        assert found.q == pytest.approx(max(certified), abs=1e-12)
        assert found.certified_by == ("sharp" if found.beta.total < found.budget else "printed")
    else:
        assert found.certified_by is None
        assert found.beta.total == pytest.approx(min(betas), abs=1e-12)


@given(st.integers(0, 2**31), st.integers(2, 4))
def test_the_classes_together(seed: int, K: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(K), rng.integers(0, K, 10)])
    sup = 0.1 * rng.random(len(labels)) ** 4
    deltas = 0.05 * np.sort(rng.random(5))
    sigmas = np.sort(rng.choice([0.5, 0.9, 1.0], (5, K)), axis=0)
    mu = rng.normal(size=(K, K))
    mu *= 0.98 / np.linalg.norm(mu, axis=1, keepdims=True)
    overlap, distances = mu @ mu.T, np.linalg.norm(mu[:, None] - mu, axis=2)
    delta_mu = 1 - 0.98**2
    choices = choose_by_class(
        sup, labels, deltas, sigmas, distances=distances, overlap=overlap, delta_mu=delta_mu
    )
    p = np.bincount(labels) / len(labels)
    each = {
        name: np.array([getattr(choice, name) for choice in choices])
        for name in ("sigma", "delta", "eps", "R")
    }
    rows = theorem1_sharp(distances, p, **each).rows | theorem1_by_class(overlap, delta_mu, p, **each).rows
    assert rows.tolist() == [choice.certified_by is not None for choice in choices]
    for k, choice in enumerate(choices):
        alone = choose_for_class(
            sup[labels == k], deltas, sigmas[:, k],
            min_distance=min(distances[k, j] for j in range(K) if j != k),
            max_overlap=max(overlap[k, j] for j in range(K) if j != k), delta_mu=delta_mu,
        )  # fmt: skip
        assert choice == alone
    own_deltas = choose_by_class(
        sup,
        labels,
        np.tile(deltas[:, None], (1, K)),
        sigmas,
        distances=distances,
        overlap=overlap,
        delta_mu=delta_mu,
    )
    assert own_deltas == choices


def test_the_trivial_corner() -> None:
    """Without anything feasible rho near 2 at sigma near 0 wins, and blames concentration for it."""
    found = choose([1.5] * 4, [0.0, 1.9], [0.01, 1.0], p_min=0.1, max_overlap=0.2, delta_mu=0.1)
    assert not found.feasible
    assert (found.sigma, found.rho.dominant) == (0.01, "concentration")
    assert found.distance == pytest.approx(found.rho.total / found.budget)
    assert found.distance > 10
    close = choose([0.0], [0.0], [1.0], p_min=0.5, max_overlap=0.99, delta_mu=0.1)
    assert (close.feasible, close.budget, close.distance) == (False, 0, None)


def test_a_band_for_every_eps() -> None:
    sup = np.linspace(0, 0.02, 21)
    given_ = {"p_min": 0.5, "max_overlap": -0.5, "delta_mu": 0.0}
    plain = choose(sup, [0.0], [1.0], **given_)
    banded = choose(sup, [0.0], [1.0], **given_, band=0.05)
    assert (plain.R, banded.R) == (0, 0.05)
    assert choose(sup, [0.0], [1.0], **given_, band=1.0).R == 1


def test_the_largest_eps_with_room() -> None:
    sup = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.01, 1.0]
    found = choose(sup, [0.0], [1.0], p_min=0.5, max_overlap=-0.2, delta_mu=0.0)
    assert (found.eps, found.R) == (0.01, pytest.approx(0.1))
    assert found.rho.named() == pytest.approx(
        {"concentration": 0, "misaligned": 0.2, "distance": 0, "tolerance": 0.02}
    )


@pytest.mark.parametrize(
    ("sup", "deltas", "sigmas", "message"),
    [
        ([], [0.0], [1.0], "sup-alignments"),
        ([-1.0], [0.0], [1.0], "sup-alignments"),
        ([math.nan], [0.0], [1.0], "sup-alignments"),
        ([0.0], [], [], "same length"),
        ([0.0], [0.0, 1.0], [1.0], "same length"),
        ([0.0], [0.0], [1.5], "sigmas"),
        ([0.0], [math.inf], [1.0], "deltas"),
    ],
)
def test_refusals(sup: list[float], deltas: list[float], sigmas: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose(sup, deltas, sigmas, p_min=0.5, max_overlap=0, delta_mu=0)
    with pytest.raises(ValueError, match=message):
        choose_for_class(sup, deltas, sigmas, min_distance=1)


def test_more_refusals() -> None:
    for impossible in ({"p_min": 0.0}, {"L": math.inf}, {"r": 0.0}):
        with pytest.raises(ValueError, match="is "):
            choose([0.0], [0.0], [1.0], **{"p_min": 0.5, "max_overlap": 0, "delta_mu": 0, **impossible})
    with pytest.raises(ValueError, match="band"):
        choose([0.0], [0.0], [1.0], p_min=0.5, max_overlap=0, delta_mu=0, band=2)
    with pytest.raises(ValueError, match="2 r"):
        choose_for_class([0.0], [0.0], [1.0], min_distance=3)
    with pytest.raises(ValueError, match="two"):
        choose_by_class([0.0], [0], [0.0], [[1.0]], distances=[[0.0]])

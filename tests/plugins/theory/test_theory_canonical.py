"""Partial canonical correlations: closed forms, loops, shrinkage, and when Bartlett's test is offered."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit_theory.pretext.canonical import canonical_correlations, partial_correlations


def test_closed_forms() -> None:
    # z = f + noise of the same variance
    assert canonical_correlations([[1.0]], [[1.0]], [[2.0]])[0] == pytest.approx(0.7071067811865476, rel=1e-9)
    assert canonical_correlations([[3.0]], [[3.0]], [[6.0]])[0] == pytest.approx(0.5**0.5, rel=1e-9)
    # several pairs, in any basis: z_j = f_j + noise of variance v_j
    noise = np.array([0.25, 1.0, 3.0])
    mix_f, mix_z = np.random.default_rng(0).normal(size=(2, 3, 3)) + 2 * np.eye(3)
    found = canonical_correlations(mix_f @ mix_f.T, mix_f @ mix_z.T, mix_z @ np.diag(1 + noise) @ mix_z.T)
    np.testing.assert_allclose(found, (1 + noise) ** -0.5, rtol=1e-9)
    # no variance, no correlation
    assert canonical_correlations(np.diag([1.0, 0.0]), [[0.5, 0.0], [0.0, 0.0]], np.eye(2)) == pytest.approx(
        [0.5, 0.0]
    )
    assert canonical_correlations(np.zeros((2, 2)), np.zeros((2, 1)), [[1.0]]).tolist() == [0.0]


def test_the_sample_form_converges_to_the_closed_form() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 40_000)
    f = rng.normal(size=(40_000, 1)) + 4 * labels[:, None]
    z = f - 9 * labels[:, None] + rng.normal(size=(40_000, 1))
    found = partial_correlations(f, z, labels, shrinkage=0)
    assert found.values[0] == pytest.approx(0.7071, abs=0.01)
    assert found.p == 0 or found.p < 1e-9
    assert found.reason == ""


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), d_f=st.integers(1, 4), d_z=st.integers(1, 4), k=st.integers(1, 3))
def test_against_loops_and_an_eigenvalue_problem(seed: int, d_f: int, d_z: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    n = 50
    labels = rng.integers(0, k, n)
    f = rng.normal(size=(n, d_f)) + 3 * labels[:, None]
    z = np.tanh(f[:, :1]) + rng.normal(size=(n, d_z))
    found = partial_correlations(f, z, labels, shrinkage=0)

    means = {
        c: [rows.mean(axis=0) for rows in (f[labels == c], z[labels == c])] for c in set(labels.tolist())
    }
    ff, fz, zz = np.zeros((d_f, d_f)), np.zeros((d_f, d_z)), np.zeros((d_z, d_z))
    for i in range(n):
        a, b = f[i] - means[labels[i]][0], z[i] - means[labels[i]][1]
        ff, fz, zz = ff + np.outer(a, a) / n, fz + np.outer(a, b) / n, zz + np.outer(b, b) / n
    np.testing.assert_allclose(found.values, canonical_correlations(ff, fz, zz), rtol=1e-9, atol=1e-12)
    squares = np.linalg.eigvals(np.linalg.solve(ff, fz) @ np.linalg.solve(zz, fz.T)).real
    squares = np.sort(squares)[::-1][: min(d_f, d_z)]
    np.testing.assert_allclose(found.values**2, np.maximum(squares, 0), rtol=1e-7, atol=1e-12)


def test_shrinkage() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(60) % 3
    f, z = rng.normal(size=(60, 80)) * np.linspace(10, 0.1, 80), rng.normal(size=(60, 4))
    exact = partial_correlations(f, z, labels, shrinkage=0)
    assert exact.values[0] == pytest.approx(1, abs=1e-7)  # n - K < d_f
    shrunk = partial_correlations(f, z, labels)
    assert 0 < shrunk.shrinkage < 1
    assert shrunk.values[0] < 0.9
    assert shrunk.p is None
    assert shrunk.reason == "shrunk correlations have no chi-squared law"
    scaled = partial_correlations(100 * f + 3, z / 7 + labels[:, None], labels)
    np.testing.assert_allclose(scaled.values, shrunk.values, rtol=1e-7)
    assert partial_correlations(f, z, labels, shrinkage=1).values.max() == 0
    same = partial_correlations(f, f[:, :3], labels)
    assert same.values.max() <= 1


def test_bartlett() -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(200) % 4
    f, z = rng.normal(size=(200, 10)), rng.normal(size=(200, 3))
    few = partial_correlations(f, z, labels, shrinkage=0)
    assert few.p is None
    assert few.reason == "n - K = 196 is less than 10 d_f d_z = 300"
    assert partial_correlations(f[:, :3], f[:, 1:4], labels, shrinkage=0).p < 1e-6
    assert partial_correlations(f[:, :1], f[:, :1] + labels[:, None], labels, shrinkage=0).p == 0

    p = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        f, z = rng.normal(size=(100, 3)) + labels[:100, None], rng.normal(size=(100, 2)) - labels[:100, None]
        p.append(partial_correlations(f, z, labels[:100], shrinkage=0).p)
    for alpha in (0.05, 0.25, 0.5):
        share = np.mean(np.array(p) <= alpha)
        assert share == pytest.approx(alpha, abs=3 * (alpha * (1 - alpha) / 300) ** 0.5)


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    f, z, labels = rng.normal(size=(20, 3)), rng.normal(size=(20, 2)), np.arange(20) % 2
    with pytest.raises(ValueError, match="z is constant within classes"):
        partial_correlations(f, labels[:, None] * 0.1 + np.zeros((20, 2)), labels)
    with pytest.raises(ValueError, match="f is constant within classes"):
        partial_correlations(np.full((20, 3), 0.1), z, labels)
    with pytest.raises(ValueError, match="f is constant within classes"):
        partial_correlations(f, z, np.arange(20))
    with pytest.raises(ValueError, match="not all finite"):
        partial_correlations(np.where(f > 1, np.nan, f), z, labels)
    with pytest.raises(ValueError, match="do not fit"):
        partial_correlations(f, z[:-1], labels)
    with pytest.raises(ValueError, match=r"shrinkage is in \[0, 1\], not 2"):
        partial_correlations(f, z, labels, shrinkage=2)
    with pytest.raises(ValueError, match="do not fit"):
        canonical_correlations(np.eye(3), np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match="not all finite"):
        canonical_correlations(np.full((2, 2), np.inf), np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match="eigenvalue -1"):
        canonical_correlations(-np.eye(2), np.eye(2), np.eye(2))

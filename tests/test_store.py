"""Features on disk: whole parts or none, resumed where a run stopped, refused when damaged."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslaudit.errors import StoreError
from sslaudit.store import PART_IMAGES, Features, Parts, default_cache, key_of, writable

V, D = 3, 5


def block(part: int, images: int) -> np.ndarray:
    return np.random.default_rng(part).normal(size=(images, V, D)).astype(np.float32)


def written(folder: Path, images: int) -> tuple[Parts, np.ndarray]:
    """All parts of ``images`` images, and the array they hold."""
    parts = Parts(folder / "key", images)
    blocks = [block(part, len(parts.block(part))) for part in range(parts.count)]
    for part, features in enumerate(blocks):
        parts.write(part, features)
    return parts, np.concatenate(blocks)


@pytest.mark.parametrize("images", [1, PART_IMAGES - 1, PART_IMAGES, PART_IMAGES + 1, 2 * PART_IMAGES + 7])
def test_features_come_back_as_written(tmp_path: Path, images: int) -> None:
    parts, whole = written(tmp_path, images)
    features = Features(parts)
    assert features.shape == whole.shape == (images, V, D)
    assert len(features) == images
    np.testing.assert_array_equal(features.read(), whole)
    np.testing.assert_array_equal(features.identity(), whole[:, 0])
    assert features.read().dtype == features.identity().dtype == np.float32
    rows = []
    for place, chunk in features.chunks():
        np.testing.assert_array_equal(chunk, whole[place])
        rows += range(place.start, place.stop)
    assert rows == list(range(images))


@given(st.integers(1, 5 * PART_IMAGES))
def test_blocks_cover_every_image_once(images: int) -> None:
    parts = Parts(Path("unused"), images)
    assert [i for part in range(parts.count) for i in parts.block(part)] == list(range(images))


def test_a_run_resumes_at_the_parts_that_are_missing(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "key", 3 * PART_IMAGES)
    assert parts.missing() == [0, 1, 2]
    parts.write(1, block(1, PART_IMAGES))
    assert parts.missing() == [0, 2]
    with pytest.raises(StoreError, match=r"part-000000\.npy cannot be read: No such file"):
        Features(parts)
    for part in parts.missing():
        parts.write(part, block(part, PART_IMAGES))
    assert parts.missing() == []
    assert len(Features(parts)) == 3 * PART_IMAGES
    parts.drop()
    assert parts.missing() == [0, 1, 2]
    parts.drop()


def test_a_half_written_file_is_no_part(tmp_path: Path) -> None:
    parts, whole = written(tmp_path, 10)
    content = parts.path(0).read_bytes()
    parts.drop()
    (parts.folder / "tmpabc.tmp").write_bytes(content[:-1])
    assert parts.missing() == [0]
    parts.write(0, whole)
    np.testing.assert_array_equal(Features(parts).read(), whole)


def test_a_part_written_twice_is_replaced_whole(tmp_path: Path) -> None:
    parts, first = written(tmp_path, 10)
    held = Features(parts)
    (_, chunk) = next(held.chunks())
    parts.write(0, block(99, 10))
    np.testing.assert_array_equal(chunk, first)
    np.testing.assert_array_equal(Features(parts).read(), block(99, 10))
    assert [path.name for path in parts.folder.iterdir()] == ["part-000000.npy"]


@contextmanager
def limit(kind: int, value: int) -> Iterator[None]:
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


def test_a_write_that_the_disk_refuses_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "key", PART_IMAGES)
    features = block(0, PART_IMAGES)
    with (
        limit(resource.RLIMIT_FSIZE, features.nbytes // 2),
        pytest.raises(StoreError, match=r"cannot write features to .*key: File too large"),
    ):
        parts.write(0, features)
    assert list(parts.folder.iterdir()) == []
    assert parts.missing() == [0]


def test_a_cache_that_is_a_file_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("")
    with pytest.raises(StoreError, match="cannot write features"):
        Parts(tmp_path / "key", 1).write(0, block(0, 1))
    assert not writable(tmp_path / "key")
    assert writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_more_parts_than_open_files(tmp_path: Path) -> None:
    """A million images are 4,000 parts; a process may open 1,024 files, or 64."""
    parts, whole = written(tmp_path, 80 * PART_IMAGES)
    with limit(resource.RLIMIT_NOFILE, 64):
        features = Features(parts)
        np.testing.assert_array_equal(features.identity(), whole[:, 0])
        np.testing.assert_array_equal(features.read(), whole)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x93NUMPY", b"PK\x03\x04", b"\x80\x04N.", b"not a part", bytes(500)],
    ids=["empty", "header", "zip", "pickle", "text", "zeros"],
)
def test_a_damaged_part_is_named(tmp_path: Path, content: bytes) -> None:
    parts, _ = written(tmp_path, PART_IMAGES + 1)
    parts.path(1).write_bytes(content)
    with pytest.raises(StoreError, match=r"part-000001\.npy is damaged .* remove it and run again"):
        Features(parts)


@pytest.mark.parametrize(
    ("features", "named"),
    [
        (np.zeros((2, V, D), np.float32), r"holds \(2, 3, 5\), not \(1, 3, 5\)"),
        (np.zeros((1, V + 1, D), np.float32), r"holds \(1, 4, 5\), not \(1, 3, 5\)"),
        (np.zeros((1, V, D + 1), np.float32), r"holds \(1, 3, 6\), not \(1, 3, 5\)"),
        (np.zeros((1, V, D), np.float64), r"is no part: float64 \(1, 3, 5\)"),
        (np.zeros((1, D), np.float32), r"is no part: float32 \(1, 5\)"),
    ],
)
def test_a_part_of_another_shape_is_refused(tmp_path: Path, features: np.ndarray, named: str) -> None:
    parts, _ = written(tmp_path, PART_IMAGES + 1)
    parts.write(1, features)
    with pytest.raises(StoreError, match=rf"part-000001\.npy {named}"):
        Features(parts)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 127), st.integers(0, 255), st.integers(0, 400))
def test_any_damage_to_the_header_is_a_store_error_or_harmless(
    tmp_path: Path, place: int, byte: int, cut: int
) -> None:
    parts, whole = written(tmp_path, 2)
    content = bytearray(parts.path(0).read_bytes())
    content[place] = byte
    parts.path(0).write_bytes(content[: len(content) - cut])
    try:
        features = Features(parts)
    except StoreError:
        return
    assert features.shape == whole.shape


FACTS = st.dictionaries(
    st.text(max_size=5), st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())
)


@given(FACTS, st.randoms())
def test_a_key_does_not_depend_on_the_order_of_its_facts(facts: dict[str, object], random: object) -> None:
    items = list(facts.items())
    random.shuffle(items)
    assert key_of(dict(items)) == key_of(facts)
    assert key_of({**facts, "seed of the views": 1}) != key_of(facts)


def test_a_key_is_canonical() -> None:
    facts = {"views": 8, "size": (32, 32), "name": "\udce9"}
    assert key_of(facts) == key_of(json.loads(json.dumps(facts)))
    # printf '%s' '{"a":1,"layout":1}' | sha256sum
    assert key_of({"a": 1}) == "0f5499c946b7481e6ccc13fed9553c563960066b7613497cfc719c65a8af90de"
    with pytest.raises(ValueError, match="JSON"):
        key_of({"a": float("nan")})


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSLAUDIT_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "own"
    monkeypatch.delenv("SSLAUDIT_CACHE")
    assert default_cache() == tmp_path / "xdg" / "sslaudit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "sslaudit"

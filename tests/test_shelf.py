"""``sslaudit cache``: what lies on disk is listed, and only that is removed."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sslaudit.shelf import entries, prune
from sslaudit.store import PART_IMAGES, Parts, key_of
from tests.conftest import Run

DAY = 86_400.0
NOW = 1_700_000_000.0


def shelve(cache: Path, name: str, *, images: int = 10, parts: int | None = None, days: float = 0) -> Path:
    """Features of ``images`` images, the first ``parts`` parts written, last used ``days`` ago."""
    shelf = Parts(cache / "features" / key_of({"name": name}), images)
    shelf.describe({"encoder": name, "data": "photos", "images": images, "recipe": "simclr@1", "views": 2})
    for part in range(shelf.count if parts is None else parts):
        shelf.write(part, np.zeros((len(shelf.block(part)), 2, 4), dtype=np.float32))
    for file in (*shelf.folder.iterdir(), shelf.folder):
        os.utime(file, (NOW - days * DAY,) * 2)
    return shelf.folder


def test_entries_are_listed_last_used_first(tmp_path: Path) -> None:
    old = shelve(tmp_path, "old", days=3)
    new = shelve(tmp_path, "new", images=PART_IMAGES + 1, parts=1)
    found = entries(tmp_path)
    assert [entry.folder for entry in found] == [new, old]
    assert [entry.whole for entry in found] == [False, True]
    assert (found[0].parts, found[0].wanted) == (1, 2)
    assert found[1].bytes == sum(file.stat().st_size for file in old.iterdir())
    assert found[1].used == NOW - 3 * DAY


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({"days": 2.5}, {"old", "older"}),
        ({"days": 1000.0}, set()),
        ({"unfinished": True}, {"half"}),
        ({"everything": True}, {"old", "older", "half", "new"}),
        ({"below": 0}, {"old", "older", "half", "new"}),
        ({"below": 10**9}, set()),
    ],
)
def test_what_is_asked_for_is_removed(tmp_path: Path, options: dict[str, float], gone: set[str]) -> None:
    folders = {
        "old": shelve(tmp_path, "old", days=3),
        "older": shelve(tmp_path, "older", days=30),
        "half": shelve(tmp_path, "half", images=600, parts=1),
        "new": shelve(tmp_path, "new"),
    }
    removed = prune(tmp_path, now=lambda: NOW, **options)
    assert {str(entry.about["encoder"]) for entry in removed} == gone
    assert {name for name, folder in folders.items() if not folder.exists()} == gone


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    folders = [shelve(tmp_path, name, days=days) for days, name in enumerate(("a", "b", "c"))]
    one = sum(file.stat().st_size for file in folders[0].iterdir())
    prune(tmp_path, below=2 * one, now=lambda: NOW)
    assert [folder.exists() for folder in folders] == [True, True, False]


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    shelve(tmp_path, "ours")
    strangers = [tmp_path / "features" / "photos", tmp_path / "models", tmp_path / "features" / ("f" * 63)]
    for folder in strangers:
        folder.mkdir(parents=True)
        (folder / "precious.npy").touch()
    (tmp_path / "features" / ("a" * 64)).write_text("a file")
    prune(tmp_path, everything=True)
    assert all((folder / "precious.npy").exists() for folder in strangers)
    assert (tmp_path / "features" / ("a" * 64)).is_file()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"images": "many"}', '{"images": -3}', "\xff"])
def test_features_that_say_nothing_are_listed_too(tmp_path: Path, text: str) -> None:
    folder = shelve(tmp_path, "silent")
    (folder / "about.json").write_text(text, encoding="latin-1")
    (entry,) = entries(tmp_path)
    assert (entry.about, entry.wanted, entry.whole) == ({}, 0, False)


def test_no_cache_is_an_empty_one(tmp_path: Path) -> None:
    assert entries(tmp_path / "nowhere") == []
    (tmp_path / "features").touch()
    assert entries(tmp_path) == []


def test_the_command_shows_and_removes(run: Run, tmp_path: Path) -> None:
    shelve(tmp_path / "c", "timm:resnet18", images=600, parts=1)
    shelve(tmp_path / "c", "runs/simclr.pt")
    listed = run("cache", "ls", "--cache", "c")
    assert listed.returncode == 0, listed.stderr
    assert "timm:resnet18 (1 of 3 parts)" in listed.stdout
    assert "runs/simclr.pt" in listed.stdout
    assert listed.stdout.splitlines()[-1].startswith("2 sets of features, ")
    pruned = run("cache", "prune", "--unfinished", "--cache", "c")
    assert "1 set of features" in pruned.stdout
    assert "timm:resnet18" in pruned.stdout
    assert "timm:resnet18" not in run("cache", "ls", "--cache", "c").stdout
    assert run("cache", "prune", "--all", "--cache", "c").returncode == 0
    assert run("cache", "ls", "--cache", "c").stdout == "0 sets of features, 0 B, in c\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "say what to remove"),
        (("--below", "much"), "--below much is no size"),
        (("--unused", "-1"), "--unused -1 is not a number of days"),
    ],
)
def test_mistakes_remove_nothing(
    tmp_path: Path, run_here: Callable[..., object], args: tuple[str, ...], said: str
) -> None:
    folder = shelve(tmp_path, "ours")
    done = run_here("cache", "prune", "--cache", str(tmp_path), *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert folder.exists()


def test_a_run_leaves_its_description(run: Run, photos: Path, own_cache: Path) -> None:
    done = run(
        "evaluate",
        "untrained:timm:resnet18",
        "--data",
        "photos",
        "--size",
        "32",
        "--views",
        "2",
        "--metrics",
        "alignment",
    )
    assert done.returncode in (0, 1), done.stderr
    (entry,) = entries(own_cache)
    assert entry.whole
    about = json.loads((entry.folder / "about.json").read_text())
    assert (about["encoder"], about["data"], about["images"], about["views"]) == (
        "untrained:timm:resnet18",
        "photos",
        36,
        2,
    )

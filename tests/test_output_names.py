"""Folders of cards: distinct and legal whatever encoders are called, and no card in them is lost."""

import json
import os
import re
import string
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sslaudit.cli.output import folders
from sslaudit.errors import UsageError
from tests.conftest import Run

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}
ODD = st.text("ab-./\\: \n\u202e<>|\"'ÄäßＡ\udcff" + string.digits[:3], min_size=1, max_size=12)
LONG = st.builds(lambda text, n: text + "x" * n + text, ODD, st.integers(60, 250))
DEVICES = st.sampled_from(
    ["CON", "nul", "aux.pt", "./LPT1.pt", "com0.", "...", "-", "con-encoder", "encoder"]
)


@given(st.lists(ODD | LONG | DEVICES | st.text(min_size=1), min_size=1, max_size=8, unique=True))
@example(["A.pt", "a.pt", "a-pt", "./a.pt"])
@example(["a/b", "a-b", "a-b-" + "c3c8a3", "A-B-C3C8A3"])
@example(["CON", "encoder-CON", "con"])
@settings(max_examples=300, deadline=None)
def test_distinct_references_get_distinct_and_legal_folders(refs: list[str]) -> None:
    for suffix in ("", "projection"):
        names = [path.name for path in folders(Path("out"), refs, suffix)]
        assert len({name.casefold() for name in names}) == len(refs)
        for name in names:
            assert re.fullmatch(r"[A-Za-z0-9._-]{1,200}", name)
            assert name[0] not in ".-"
            assert name[-1] not in ".-"
            assert name.partition(".")[0].lower() not in RESERVED
    assert folders(Path("out"), refs) == folders(Path("out"), refs[::-1])[::-1], "no matter of the order"


def test_what_no_name_can_hold_is_told_apart_alone_too() -> None:
    """Whatever is evaluated beside it, a reference with odd characters has one folder."""
    for ref in ("ä.pt", "x" * 300, "a\nb.pt", "a\udcff.pt"):
        assert folders(Path("out"), [ref]) == folders(Path("out"), [ref, "b.pt", "a-b.pt"])[:1]
        assert re.search(r"-[0-9a-f]{6}$", folders(Path("out"), [ref])[0].name)
    assert folders(Path("out"), ["runs/simclr.pt"]) == [Path("out/runs-simclr.pt")]
    with pytest.raises(UsageError, match=r"named twice: 'a\.pt'"):
        folders(Path("out"), ["a.pt", "a.pt"])


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_hostile_files_become_inert_cards(run: Run, run_here: Run, photos: Path, tmp_path: Path) -> None:
    names = [b"<script>alert(1)<\\script>\"'|\n\xe2\x80\xae.pt", b"\xff\xfe.pt", b"A.pt", b"a.pt"]
    small = ("--size", "8", "--backbone", "conv3", "--epochs", "1", "--output", "one.pt")
    assert run_here("train", "simclr", "--data", "photos", *small).returncode == 0
    for name in names:
        os.link(tmp_path / "one.pt", os.fsencode(tmp_path) + b"/" + name)
    quick = ("--data", "photos", "--metrics", "knn(k=3)", "--no-anchors", "--views", "1")
    refs = [f"./{os.fsdecode(name)}" for name in names]
    done = run("evaluate", *refs, *quick)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.replace("\n", "").isprintable()
    assert max(map(len, done.stdout.splitlines())) <= 80
    cards = sorted((tmp_path / "reports").iterdir())
    assert len(cards) == len(names)
    for folder in cards:
        json.loads((folder / "card.json").read_text())
        assert "<script>alert" not in (folder / "card.html").read_text()
    before = (cards[0].parent / folders(Path(), refs)[1] / "card.json").stat().st_ino
    assert run_here("evaluate", refs[1], *quick).returncode == 0, "the same choices again are no other card"
    assert (cards[0].parent / folders(Path(), refs)[1] / "card.json").stat().st_ino != before


def test_a_card_that_says_more_or_other_is_not_replaced(run_here: Run, photos: Path, tmp_path: Path) -> None:
    base = ("evaluate", "stub:x", "--data", "photos", "--no-anchors", "--views", "2")

    def again(*args: str) -> str:
        before = (tmp_path / "reports" / "stub-x" / "card.json").read_bytes()
        done = run_here(*base, *args)
        if done.returncode:
            assert (tmp_path / "reports" / "stub-x" / "card.json").read_bytes() == before
            assert "write --overwrite to replace it, or another --output." in done.stderr
        return done.stderr if done.returncode else "fine"

    both = ("--metrics", "knn,alignment")
    assert run_here(*base, *both).returncode == 0
    assert "has metrics that this run would not have, alignment;" in again("--metrics", "knn")
    assert "is of --seed 0;" in again(*both, "--seed", "1")
    assert "is of --views 2;" in again(*both, "--views", "3")
    assert "is of --views-mode per-image;" in again(*both, "--views-mode", "bank")
    assert "is of 36 images;" in again(*both, "--max-images", "20")
    assert again(*both, "--recipe", "simclr") == "fine"
    assert again("--metrics", "knn,alignment,divergence") == "fine"
    assert again("--metrics", "knn,alignment,divergence") == "fine"
    assert again("--metrics", "knn", "--recipe", "crop", "--overwrite") == "fine"
    assert again("--metrics", "knn") == "fine", "a recipe is of no account for plain images"
    assert again(*both, "--recipe", "crop+flip", "--overwrite") == "fine"
    assert "is of --recipe crop+flip@1;" in again(*both)


def test_options_without_data_are_said_to_have_no_effect(run_here: Run) -> None:
    done = run_here("evaluate", "stub:x", "--metrics", "knn(k=3)", "--views-mode", "bank")
    assert done.returncode == 2
    assert "nothing was scored, and --metrics, --views-mode had no effect: there is no --data." in done.stderr
    assert "  sslaudit evaluate stub:x --data digits --metrics 'knn(k=3)' --views-mode bank\n" in done.stderr

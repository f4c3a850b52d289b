"""``sslaudit report``: a card shown again, and written as other files."""

import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.conftest import ROOT, Run


@pytest.fixture
def card(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return Path(shutil.copy(ROOT / "tests" / "data" / "first-card.json", tmp_path / "runs" / "card.json"))


def test_without_colour_and_into_a_pipe_it_is_the_same_text(run: Run, card: Path) -> None:
    plain = run("report", "runs")
    assert plain.returncode == 0
    assert "\x1b" not in plain.stdout
    assert run("report", "runs/card.json", env={"TERM": "dumb", "NO_COLOR": "1"}).stdout == plain.stdout
    assert "next: sslaudit report CARD --all" in plain.stdout


def test_several_files_at_once(run_here: Run, card: Path, tmp_path: Path) -> None:
    done = run_here("report", "runs", "--markdown", "t.md", "--hub-eval", "hub.md", "--html", "page.html")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "wrote page.html\nwrote t.md\nwrote hub.md\n"
    assert ModelCard.load(tmp_path / "hub.md").data.eval_results
    assert (tmp_path / "page.html").read_text().lower().startswith("<!doctype html>")
    assert run_here("report", "runs", "--hub-eval", "hub.md").returncode == 0, "ours is written anew"
    said = run_here("report", "runs", "--markdown", "-")
    assert said.stdout == (tmp_path / "t.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub.md", "page.html", "runs", "t.md"]


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (("--markdown", "runs/card.json"), 2, "is the card itself"),
        (("--html", "runs/../runs/samples.parquet"), 2, "is the card itself"),
        (("--html", "a", "--markdown", "./a"), 2, "name the same file"),
        (("--html", "-", "--markdown", "-"), 2, "name the same file"),
        (("--explain", "knn", "--html", "a"), 2, "--explain prints to the terminal"),
        (("--markdown", "a", "--hub-eval", "README.md"), 1, "is left as it is"),
        (("--markdown", "/dev/null"), 1, "it is there, and no regular file"),
        (("--markdown", "nowhere/a"), 1, "cannot write 'nowhere/a'"),
    ],
)
def test_what_is_there_is_not_lost(
    run_here: Run, card: Path, tmp_path: Path, args: tuple[str, ...], code: int, why: str
) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    before = card.read_bytes()
    done = run_here("report", "runs", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert why in done.stderr
    assert card.read_bytes() == before
    assert not (tmp_path / "a").exists()
    assert "# Mine" in (tmp_path / "README.md").read_text()


def test_a_card_that_cannot_be_read_is_named(run_here: Run, card: Path) -> None:
    card.write_text(card.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    done = run_here("report", "runs", "--markdown", "t.md")
    assert done.returncode == 1
    assert "'runs/card.json' has schema version 2; sslaudit" in done.stderr
    assert run_here("report", "nowhere").returncode == 1

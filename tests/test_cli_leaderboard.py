"""``sslaudit leaderboard`` and the folder that it writes."""

from pathlib import Path

import pytest

from sslaudit.report.card import ReportCard, to_json
from tests.conftest import Run
from tests.leaderboard_cards import card, eight, metric

FILES = ["cards", "index.html", "leaderboard.csv", "leaderboard.md", "leaderboard.parquet"]


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    write(tmp_path / "cards", *eight(0.01))
    return tmp_path / "cards"


def write(folder: Path, *made: ReportCard) -> None:
    for i, one in enumerate(made):
        (folder / str(i)).mkdir(parents=True)
        (folder / str(i) / "card.json").write_text(to_json(one))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_site_is_written_twice_with_equal_bytes(run_here: Run, cards: Path, tmp_path: Path) -> None:
    (cards / "other.json").write_text("{}")
    done = run_here("leaderboard", "cards", "--output", "site")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "8 encoders on 1 board, from 8 cards")
    assert done.stderr.startswith("left out: 'other.json' is not a report card: ")
    assert names(tmp_path / "site") == FILES
    before = contents(tmp_path / "site")
    assert len(before) == 4 + 8
    index = before["index.html"].decode()
    assert all(f'href="cards/{name}"' in index for name in names(tmp_path / "site" / "cards"))
    assert "other.json" in index
    assert run_here("leaderboard", "cards", "--output", "site").returncode == 0
    assert contents(tmp_path / "site") == before


def test_pages_of_cards_come_and_go_and_files_of_others_stay(
    run_here: Run, cards: Path, tmp_path: Path
) -> None:
    site = cards / "site"  # below the cards: the next run does not read it
    assert run_here("leaderboard", "cards", "--output", str(site)).returncode == 0
    (site / "CNAME").write_text("x")
    others = ["manual-0123456789ab.html", "notes.txt"]
    for name in others:
        (site / "cards" / name).write_text("x")
    (cards / "0" / "card.json").unlink()
    assert run_here("leaderboard", "cards", "--output", str(site)).stdout.startswith("7 encoders")
    assert (site / "CNAME").exists()
    assert len(names(site / "cards")) == 7 + len(others)
    assert run_here("leaderboard", "cards", "--output", str(site), "--no-cards").returncode == 0
    assert names(site / "cards") == others
    assert 'href="cards/' not in (site / "index.html").read_text()


def test_a_folder_with_other_things_is_refused(run_here: Run, cards: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("<h1>mine</h1>")
    refused = run_here("leaderboard", "cards", "--output", "other")
    assert refused.returncode == 1
    assert "is not empty and holds no leaderboard" in refused.stderr
    assert names(other) == ["index.html"]
    (other / "kept.txt").write_text("x")
    assert run_here("leaderboard", "cards", "--output", "other", "--overwrite").returncode == 0
    assert names(other) == sorted([*FILES, "kept.txt"])


@pytest.mark.parametrize(("name", "kind"), [("cards", "file"), ("index.html", "folder")])
def test_what_stands_in_the_way_is_named_before_anything_is_written(
    run_here: Run, cards: Path, tmp_path: Path, name: str, kind: str
) -> None:
    path = tmp_path / "site" / name
    path.parent.mkdir()
    path.mkdir() if kind == "folder" else path.write_text("x")
    refused = run_here("leaderboard", "cards", "--output", "site", "--overwrite")
    assert (refused.returncode, names(tmp_path / "site")) == (1, [name])
    assert refused.stderr == f"error: --output site holds a {kind} named {name}; name another folder.\n"


@pytest.mark.parametrize("output", ["cards", "."])
def test_the_cards_are_never_written_over(run_here: Run, cards: Path, output: str) -> None:
    refused = run_here("leaderboard", "cards", "--output", output, "--overwrite")
    assert (refused.returncode, "holds the cards of 'cards'" in refused.stderr) == (2, True)


def test_a_site_that_fails_stays_as_it_was(
    run_here: Run, cards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sslaudit.leaderboard.site.write_parquet", full)
    failed = run_here("leaderboard", "cards", "--output", "site")
    assert (failed.returncode, failed.stderr) == (
        1,
        "error: cannot write to --output site: No space left on device.\n",
    )
    assert not (tmp_path / "site").exists()
    monkeypatch.undo()
    assert run_here("leaderboard", "cards", "--output", "site").returncode == 0
    before = contents(tmp_path / "site")
    monkeypatch.setattr("sslaudit.leaderboard.site.write_parquet", full)
    write(cards / "more", card("new", metric("knn", 0.9, width=0.1)))
    assert run_here("leaderboard", "cards", "--output", "site").returncode == 1
    assert contents(tmp_path / "site") == before


def test_faults_are_one_sentence(run_here: Run, cards: Path) -> None:
    none = run_here("leaderboard", "nowhere", "--output", "site")
    assert (none.returncode, none.stderr) == (
        1,
        "error: 'nowhere' is no folder; name one that holds cards.\n",
    )
    unknown = run_here("leaderboard", "cards", "--output", "site", "--accuracy", "foo")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "error: no card has the accuracy 'foo'; there is: knn.\n",
    )
    assert not (cards.parent / "site").exists()

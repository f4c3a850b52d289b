"""The folder of a leaderboard: rendered beside what is there, then put in its place."""

import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from sslaudit.errors import CardError, OutputError, UsageError
from sslaudit.leaderboard.boards import Board
from sslaudit.leaderboard.entries import Entry, LeftOut, Reported
from sslaudit.leaderboard.page import GENERATOR, page
from sslaudit.leaderboard.tables import comma_separated, markdown, table, write_parquet
from sslaudit.report import html
from sslaudit.report.card import from_json

_LINKED = re.compile(r'href="cards/([A-Za-z0-9._-]+-[0-9a-f]{12}\.html)"')
_TABLES = ("leaderboard.csv", "leaderboard.parquet", "leaderboard.md")
_HEAD = 2048
"""Characters of a page within which its generator is named."""


def check_site(site: Path, folder: Path, *, overwrite: bool) -> None:
    """Raises ``UsageError`` where ``site`` would take the place of the cards in ``folder``, and
    ``OutputError`` where it holds other things than a leaderboard.
    """
    real, cards = site.resolve(), folder.resolve()
    if cards.is_relative_to(real):
        raise UsageError(f"--output {site} holds the cards of '{folder}'; name a folder of its own.")
    if site.exists() and not site.is_dir():
        raise OutputError(f"--output {site} is a file; name a folder.")
    if not site.is_dir():
        return
    for path in (site / name for name in (*_TABLES, "index.html", "cards")):
        if path.exists() and path.is_dir() != (path.name == "cards"):
            kind = "folder" if path.is_dir() else "file"
            raise OutputError(f"--output {site} holds a {kind} named {path.name}; name another folder.")
    if not overwrite and any(site.iterdir()) and not _index(site):
        raise OutputError(
            f"--output {site} is not empty and holds no leaderboard; name another folder, or write "
            "--overwrite to put one there. Other files stay as they are."
        )


def write_site(
    site: Path,
    boards: Sequence[Board],
    left_out: Sequence[LeftOut],
    reported: Sequence[Reported] = (),
    *,
    pages: bool = True,
) -> None:
    """Write the page, the tables and, with ``pages``, a page for each card, into ``site``, which is there.

    Nothing is replaced before everything is rendered; the page that links to the rest comes last. Pages
    of cards that only the page before links to go; files of others stay.
    Raises ``OutputError``, and ``CardError`` where a card changed since it was read.
    """
    try:
        with _beside(site) as made:
            columns = table(boards, pages=pages)
            _write(made / "index.html", page(boards, left_out, reported, pages=pages))
            _write(made / "leaderboard.csv", comma_separated(columns))
            _write(made / "leaderboard.md", markdown(boards, left_out, pages=pages))
            write_parquet(columns, made / "leaderboard.parquet")
            for entry in _entries(boards) if pages else ():
                _write_card(entry, made / "cards" / entry.page)
            _move(made, site)
    except OSError as error:
        raise OutputError(f"cannot write to --output {site}: {error.strerror or error}.") from error


def _index(site: Path) -> str:
    """The page of the leaderboard that ``site`` holds; empty where it holds none."""
    try:
        text = (site / "index.html").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text if f'<meta name="generator" content="{GENERATOR}">' in text[:_HEAD] else ""


def _entries(boards: Sequence[Board]) -> Iterator[Entry]:
    for board in boards:
        yield from (standing.entry for standing in board.standings)
        yield from (old for old, _ in board.superseded)


@contextmanager
def _beside(site: Path) -> Iterator[Path]:
    """A folder on the same file system, gone when the block ends."""
    made = site / f".{uuid.uuid4().hex}.tmp"
    (made / "cards").mkdir(parents=True)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8"))


def _write_card(entry: Entry, path: Path) -> None:
    content = entry.file.read_bytes()
    if sha256(content).hexdigest() != entry.digest:
        raise CardError(f"'{entry.path}' changed while the leaderboard was made; run the same command again.")
    _write(path, html.page(from_json(content.decode("utf-8"), f"'{entry.path}'")))


def _move(made: Path, site: Path) -> None:
    before = set(_LINKED.findall(_index(site)))
    (site / "cards").mkdir(exist_ok=True)
    cards = {path.name for path in (made / "cards").iterdir()}
    for name in sorted(cards):
        os.replace(made / "cards" / name, site / "cards" / name)
    for name in (*_TABLES, "index.html"):
        os.replace(made / name, site / name)
    for name in before - cards:
        (site / "cards" / name).unlink(missing_ok=True)
    if not any((site / "cards").iterdir()):
        (site / "cards").rmdir()

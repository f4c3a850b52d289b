"""The boards as one static page: tables that need no script, and a script that sorts, filters and draws."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from itertools import groupby

from markupsafe import Markup

from sslaudit.leaderboard import say
from sslaudit.leaderboard.boards import Board, Column, Standing, column_names, where
from sslaudit.leaderboard.entries import LeftOut, Reported
from sslaudit.numbers import number
from sslaudit.report.card import MetricRecord, utf8
from sslaudit.report.drawing import STYLE
from sslaudit.report.phrases import count, plural
from sslaudit.report.templating import environment

GENERATOR = "sslaudit leaderboard"
"""By this a page is known as a leaderboard."""

_ROWS = 50
"""Rows of a board that a script lays out before a reader asks for more."""

_EARLY = 'document.documentElement.classList.add("script");'
"""Runs before any row is laid out."""


@dataclass(frozen=True, slots=True)
class Range:
    """Where an interval and its value lie between the ends of all ranges of a board, in percent."""

    left: str
    width: str
    value: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A board with what the template asks of it."""

    id: str
    title: str
    short: str
    """For the list of boards of the scatter."""
    board: Board
    leading: Column | None
    main: tuple[Column, ...]
    minor: tuple[Column, ...]
    ranked: tuple[Standing, ...]
    unranked: tuple[Standing, ...]
    ends: tuple[float, float]
    """Between which the ranges are drawn."""

    def range(self, record: MetricRecord) -> Range | None:
        """The bar of one value."""
        low, high = self.ends
        if record.value is None or high <= low:
            return None
        span = record.interval
        left, right = (span.low, span.high) if span else (record.value, record.value)
        at = [100 * (min(max(x, low), high) - low) / (high - low) for x in (left, right, record.value)]
        return Range(f"{at[0]:.1f}", f"{at[1] - at[0]:.1f}", f"{at[2]:.1f}")


def page(
    boards: Sequence[Board],
    left_out: Sequence[LeftOut] = (),
    reported: Sequence[Reported] = (),
    *,
    pages: bool = True,
) -> str:
    """The whole page. ``pages`` says whether it links to the pages of cards, under ``cards/``."""
    shown = [_shown(place, board) for place, board in enumerate(boards, 1)]
    suites = [
        (suite, list(of_suite))
        for suite, of_suite in groupby(shown, key=lambda one: one.board.settings.suite)
    ]
    every = [standing for board in boards for standing in board.standings]
    called = column_names({column.key for board in boards for column in board.columns})
    style, script = (_beside(name) for name in ("leaderboard.css", "leaderboard.js"))
    words = sorted({word for one in every for word in ([one.word] if one.word else one.marks)})
    text = (
        environment("sslaudit.leaderboard")
        .get_template("leaderboard.html.j2")
        .render(
            generator=GENERATOR,
            suites=suites,
            boards=shown,
            total=f"{plural(len(every), 'encoder', 'encoders')} on {plural(len(boards), 'board', 'boards')}",
            words=words,
            called=called,
            most=_ROWS,
            figure_style=Markup(STYLE),
            style=Markup(style),
            script=Markup(script),
            early=Markup(_EARLY),
            scripts=[b64encode(sha256(one.encode()).digest()).decode() for one in (_EARLY, script)],
            rule=say.RULE,
            left_out=left_out,
            reported=reported,
            pages=pages,
            say=say,
            number=number,
            count=count,
            plural=plural,
            where=where,
            recipe=_recipe,
            sizes=lambda sizes: ", ".join(f"{height} x {width}" for height, width in sizes),
        )
    )
    return utf8(text)


def _shown(place: int, board: Board) -> Shown:
    leading = next((column for column in board.columns if column.key == board.leading), None)
    rest = [column for column in board.columns if column is not leading]
    records = [one.entry.records.get(board.leading) for one in board.standings] if board.leading else []
    ends = [
        end
        for record in records
        if record and record.value is not None
        for end in ((record.interval.low, record.interval.high) if record.interval else (record.value,))
    ]
    return Shown(
        id=f"board-{place}",
        title=f"Board {place}: {say.heading(board)}",
        short=f"{place}: {board.data}, {say.views(board.settings)}, {board.settings.precision}",
        board=board,
        leading=leading,
        main=tuple(column for column in rest if column.main),
        minor=tuple(column for column in rest if not column.main),
        ranked=tuple(one for one in board.standings if one.rank is not None),
        unranked=tuple(one for one in board.standings if one.rank is None),
        ends=(min(ends), max(ends)) if ends else (0.0, 0.0),
    )


def _recipe(standing: Standing) -> str:
    """Whether views are drawn as the encoder saw them when it was trained."""
    data = standing.entry.card.data
    if data.views == 1:
        return "no views"
    return "ASSUMED" if data.recipe_assumed else "its own" if data.recipe_own else "not its own"


def _beside(name: str) -> str:
    return files("sslaudit.leaderboard").joinpath("templates", name).read_text(encoding="utf-8")

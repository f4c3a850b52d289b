"""The card in a terminal: words first, then the numbers, at 80 columns and without need of colour."""

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sslaudit.report import words
from sslaudit.report.card import ReportCard
from sslaudit.results import Interval

_WIDTH = 80

_GROUPS = (
    ("quality", "how good (higher is better)"),
    ("factor", "why (lower is better)"),
    ("data", "of the data, the same for every encoder"),
    ("other", "other"),
)


def render(card: ReportCard, *, next_step: str = "") -> RenderableType:
    """The whole card."""
    ref, what, where = words.title(card)
    fits = len(ref) + len(what) + 3 <= _WIDTH
    blocks: list[RenderableType] = [
        *(
            [Text(f"{ref}   {what}", style="bold")]
            if fits
            else [Text(words.cut(ref, _WIDTH), style="bold"), Text(what)]
        ),
        Text(where),
        Text(),
        listing(words.headline(card)),
    ]
    for group, heading in _GROUPS:
        if found := [row for row in words.rows(card, group) if row.value != "-"]:
            blocks += [Text(), _table(_heading(card, group, heading), found)]
    notes = [("not computed", f"{term}: {reason}") for term, reason in words.not_computed(card)]
    notes += [("skipped", line) for line in words.skipped(card)]
    notes += [("problem", line) for line in card.problems]
    notes += [("input", "; ".join(words.preprocessing(card.encoder.preprocess)))]
    notes += words.extraction(card)
    blocks += [Text(), listing(notes)]
    if next_step:
        blocks += [Text(), Text(next_step, style="dim")]
    return Group(*blocks)


def listing(lines: Iterable[tuple[str, str]], *, first: int = 0) -> Table:
    """Names and their sentences in two columns, the first at least ``first`` wide."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=first)
    table.add_column(overflow="fold")  # a digest is of use only whole
    for name, sentence in lines:
        table.add_row(Text(name, style="bold" if name.isupper() else ""), Text(sentence))
    return table


def side_by_side(cards: Sequence[ReportCard], names: Sequence[str]) -> RenderableType:
    """One column for each card, one row for each metric of the first."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(min_width=22)
    table.add_row("", *(Text(name, style="bold") for name in names))
    table.add_row("", *(f"{card.encoder.dim}-d, {words.count(card.encoder.parameters)}" for card in cards))
    table.add_row("checks passed", *(_checks(card) for card in cards))
    for group, heading in (("quality", "higher is better"), ("factor", "lower is better")):
        if records := [record for record in cards[0].metrics if record.group == group]:
            table.add_row("")
            table.add_row(Text(heading, style="italic"))
        for record in records:
            cells = (_cell(card, record.term, record.name) for card in cards)
            table.add_row(Text(words.cut(record.summary, 26)), *cells)
    return table


def difference(label: str, value: float, interval: Interval) -> str:
    """``+.171 [.140, .203]``, for a sentence."""
    sign = "+" if value > 0 else ""
    return (
        f"{label} {sign}{words.number(value)} [{words.number(interval.low)}, {words.number(interval.high)}]"
    )


def console(*, stderr: bool = False) -> Console:
    """A console that is at least 80 columns wide when nobody looks."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return (
        made if made.is_terminal else Console(stderr=stderr, highlight=False, width=max(_WIDTH, made.width))
    )


def _heading(card: ReportCard, group: str, heading: str) -> str:
    space = words.space(card, group)
    if group != "factor":
        return heading.replace("(", f"({space}; ") if space == "projection z" else heading
    views = words.plural(card.data.views, "view", "views")
    return f"why ({space}, unit norm, recipe {card.data.recipe}, {views}; lower is better)"


def _table(heading: str, found: Sequence[words.Row]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=26, no_wrap=True)
    table.add_column(min_width=16, no_wrap=True)
    table.add_column(justify="right", min_width=6, no_wrap=True)
    table.add_column()
    for row in found:
        last = f"{row.interval}   {row.extra}".rstrip()
        table.add_row(Text(f"  {row.label}"), Text(row.term), Text(row.value), Text(last))
    return Group(Text(heading), table)


def _checks(card: ReportCard) -> str:
    passed = sum(check.status == "pass" for check in card.checks)
    return f"{passed} of {len(card.checks)}"


def _cell(card: ReportCard, term: str, name: str) -> str:
    for record in card.metrics:
        if (record.term, record.name) == (term, name):
            return "-" if record.value is None else f"{words.number(record.value)} {words.interval(record)}"
    return "-"

"""Boards: which cards are ranked together, and how.

Cards stand on one board where suite, data, recipe, views, seed and precision are the same, and the
accuracy that ranks them has the same version and options. Rank = 1 + the number of encoders whose
interval lies wholly above. Unrounded values decide, and the order of files decides nothing.
"""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sslaudit.errors import UsageError
from sslaudit.leaderboard.entries import Entry, Key
from sslaudit.leaderboard.status import NO_VALUE, failure, marks
from sslaudit.report.card import MetricRecord, ReportCard

_GROUPS = ("quality", "factor", "guarantee", "shape", "classes", "change", "pretext", "other")


@dataclass(frozen=True, slots=True)
class Settings:
    """What must be equal on cards that are compared."""

    suite: str
    """Empty where the metrics were chosen one by one."""
    digest: str
    recipe: str
    views: int
    views_mode: str
    seed: int
    precision: str

    @classmethod
    def of(cls, card: ReportCard) -> "Settings":
        """The settings of a card."""
        data = card.data
        return cls(
            suite=card.suite or "",
            digest=data.digest,
            recipe=data.recipe,
            views=data.views,
            views_mode=data.views_mode,
            seed=data.seed,
            precision=card.provenance.precision,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """One encoder on a board."""

    entry: Entry
    rank: int | None
    word: str
    """Why it has no rank, in capitals; empty for a ranked one."""
    sentence: str
    marks: Mapping[str, str]
    """What a reader must know of a ranked one: a word in capitals and its sentence."""


@dataclass(frozen=True, slots=True)
class Column:
    """One metric on a board, as the first card that has it describes it."""

    key: Key
    record: MetricRecord
    name: str
    """``knn.top-5``, with what tells it from other columns of that term."""

    @property
    def main(self) -> bool:
        """Whether it is shown before anybody asks for all metrics."""
        return not self.record.minor and self.record.group != "guarantee"

    @property
    def side(self) -> bool:
        """Whether paper, which is narrow, goes without it."""
        return self.record.group not in ("quality", "factor")


@dataclass(frozen=True, slots=True)
class OfData:
    """A number that does not depend on the encoder, and the input sizes where it depends on these."""

    record: MetricRecord
    at: str
    sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Board:
    """Cards that may be compared, best first."""

    settings: Settings
    data: str
    """What most cards call the data."""
    leading: Key | None
    """The accuracy that ranks; None where no card has one."""
    standings: tuple[Standing, ...]
    superseded: tuple[tuple[Entry, Entry], ...]
    """Older cards of an encoder, each with the one that counts."""
    columns: tuple[Column, ...]
    """The leading accuracy first; metrics that have a value on some card."""
    of_data: tuple[OfData, ...]


def where(record: MetricRecord) -> str:
    """``delta 3.86``: where a number was taken, without which it says nothing; else empty."""
    return str(record.details.get("at") or "")


def natural(text: str) -> tuple[object, ...]:
    """A key for sorting: ``2`` before ``10``."""
    pieces = re.split(r"([0-9]+)", text.casefold())
    return (*((int(p), "") if i % 2 else (-1, p) for i, p in enumerate(pieces)), text)


def make_boards(entries: Sequence[Entry], accuracy: str | None = None) -> list[Board]:
    """All boards, those of one suite together, cards without a suite last.

    ``accuracy`` is the term or row that ranks, where it is not the leading one. Raises ``UsageError``
    where no card has it.
    """
    known = {record.row for entry in entries for record in entry.card.metrics if record.group == "quality"}
    if accuracy is not None and accuracy not in known:
        listed = ", ".join(sorted(known, key=natural)) or "none at all"
        raise UsageError(f"no card has the accuracy '{accuracy}'; there is: {listed}.")
    together: dict[Settings, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=_by_name):
        together[Settings.of(entry.card)].append(entry)
    boards = [
        _board(settings, leading, members)
        for settings, of_settings in together.items()
        for leading, members in _parted(of_settings, accuracy)
    ]
    return sorted(boards, key=_in_order)


def _in_order(board: Board) -> tuple[object, ...]:
    held = board.settings
    first = (not held.suite, natural(held.suite), natural(board.data), held.digest, natural(held.recipe))
    return (*first, held.views, held.views_mode, held.seed, held.precision, str(board.leading))


def _by_name(entry: Entry) -> tuple[object, ...]:
    return (natural(entry.name), entry.card.encoder.digest, entry.digest)


def _parted(entries: Sequence[Entry], accuracy: str | None) -> list[tuple[Key | None, list[Entry]]]:
    """The entries by the accuracy that most of them lead with, then the rest in the same way.

    An entry without any stands, unranked, with the first.
    """
    parts: list[tuple[Key | None, list[Entry]]] = []
    rest = list(entries)
    while led := Counter(key for entry in rest if (key := _leading(entry, accuracy))):
        key = min(led, key=lambda one: (-led[one], one))
        parts.append((key, [entry for entry in rest if key in entry.records]))
        rest = [entry for entry in rest if key not in entry.records]
    if not parts:
        return [(None, rest)]
    parts[0][1].extend(rest)
    return parts


def _leading(entry: Entry, accuracy: str | None) -> Key | None:
    """The accuracy that ranks a card: what was asked for, else that of the card, else any."""
    quality = [record for record in entry.card.metrics if record.group == "quality"]
    if accuracy is not None:
        quality = [record for record in quality if record.row == accuracy]
    elif (first := entry.card.leading) is not None:
        return Key.of(first)
    return Key.of(quality[0]) if quality else None


def _board(settings: Settings, leading: Key | None, entries: Sequence[Entry]) -> Board:
    newest, superseded = _newest(entries)
    failures = {entry.digest: failure(entry.card) or _no_value(entry, leading) for entry in newest}
    ranked = [entry for entry in newest if failures[entry.digest] is None]
    spans = {entry.digest: _span(entry, leading) for entry in ranked}
    lows = sorted(low for low, _, _ in spans.values())
    ranks = {digest: 1 + len(lows) - bisect_right(lows, high) for digest, (_, _, high) in spans.items()}
    ranked.sort(key=lambda entry: (ranks[entry.digest], -spans[entry.digest][1], _by_name(entry)))
    standings = [
        Standing(entry, ranks[entry.digest], "", "", marks(entry.card, entry.records.get(leading)))
        for entry in ranked
        if leading is not None
    ]
    standings += [
        Standing(entry, None, *why, {})
        for entry in sorted(newest, key=_by_name)
        if (why := failures[entry.digest]) is not None
    ]
    names = Counter(entry.card.data.ref for entry in entries)
    return Board(
        settings=settings,
        data=min(names, key=lambda name: (-names[name], natural(name))),
        leading=leading,
        standings=tuple(standings),
        superseded=tuple(superseded),
        columns=_columns([standing.entry for standing in standings], leading),
        of_data=_of_data([standing.entry for standing in standings]),
    )


def _newest(entries: Sequence[Entry]) -> tuple[list[Entry], list[tuple[Entry, Entry]]]:
    """The newest card of each encoder, and the others."""
    same: dict[object, list[Entry]] = defaultdict(list)
    for entry in entries:
        same[entry.card.encoder.digest, entry.card.encoder.preprocess].append(entry)
    kept, superseded = [], []
    for cards in same.values():
        newest, *older = sorted(cards, key=lambda e: (e.card.provenance.started, e.digest), reverse=True)
        kept.append(newest)
        superseded += [(one, newest) for one in older]
    return kept, sorted(superseded, key=lambda pair: _by_name(pair[0]))


def _no_value(entry: Entry, leading: Key | None) -> tuple[str, str] | None:
    """Why a healthy encoder has no rank; None where it has a value."""
    record = entry.records.get(leading) if leading else None
    if record is None:
        return NO_VALUE, "this accuracy is not on its card"
    return None if record.value is not None else (NO_VALUE, record.reason)


def _span(entry: Entry, leading: Key | None) -> tuple[float, float, float]:
    """Low, value, high; a value without an interval is a point."""
    record = entry.records[leading] if leading else None
    assert record is not None
    assert record.value is not None
    if record.interval is None:
        return record.value, record.value, record.value
    return record.interval.low, record.value, record.interval.high


def _columns(entries: Sequence[Entry], leading: Key | None) -> tuple[Column, ...]:
    found: dict[Key, MetricRecord] = {}
    for entry in entries:
        for key, record in entry.records.items():
            if record.value is not None and record.group != "data":
                found.setdefault(key, record)
    in_order = sorted(found, key=lambda key: (key != leading, _GROUPS.index(found[key].group)))
    names = column_names(found)
    return tuple(Column(key, found[key], names[key]) for key in in_order)


def column_names(keys: Iterable[Key]) -> dict[Key, str]:
    """A name for each: the row, and space, version and options where these tell two apart."""
    spelled: tuple[Callable[[Key], str], ...] = (
        lambda key: key.row + (" (z)" if key.space == "projection" else ""),
        lambda key: f"{spelled[0](key)} v{key.version}",
        lambda key: f"{spelled[1](key)} {key.options}",
    )
    keys = sorted(keys)
    names: dict[Key, str] = {}
    for spell in spelled:
        count = Counter(map(spell, keys))
        names |= {key: spell(key) for key in keys if key not in names and count[spell(key)] == 1}
    return names | {key: str(key) for key in keys if key not in names}


def _of_data(entries: Sequence[Entry]) -> tuple[OfData, ...]:
    """Each number once, with the input sizes it belongs to where there are several numbers."""
    found: dict[tuple[Key, str, object, object], MetricRecord] = {}
    sizes: dict[tuple[Key, str, object, object], set[tuple[int, int]]] = defaultdict(set)
    for entry in entries:
        for key, record in entry.records.items():
            if record.group == "data" and record.value is not None:
                one = (key, where(record), record.value, record.interval)
                found.setdefault(one, record)
                sizes[one].add(entry.card.encoder.preprocess.size)
    several = Counter(key for key, *_ in found)
    ordered = sorted(found, key=lambda one: (one[0], min(sizes[one]), str(one[1:])))
    return tuple(
        OfData(found[one], one[1], tuple(sorted(sizes[one])) if several[one[0]] > 1 else ())
        for one in ordered
    )

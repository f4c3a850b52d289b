"""The boards as CSV, Parquet and Markdown: the same rows, unrounded numbers, nothing where there is none."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sslaudit.leaderboard.boards import Board, Standing, column_names, where
from sslaudit.leaderboard.entries import Key, LeftOut
from sslaudit.leaderboard.say import RULE, heading, ranked_by, settings
from sslaudit.report.card import MetricRecord, utf8

Table = dict[str, list[Any]]
"""Columns by name, all of one length."""

_NUMBERS = {"value": float, "low": float, "high": float, "images_per_second": float}
_WHOLE = ("board", "rank", "views", "seed", "parameters", "dim", "input_height", "input_width")
_LEADS_TO_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def table(boards: Sequence[Board], *, pages: bool) -> Table:
    """One row for each encoder of each board, in the order of the page; the metrics of all boards.

    ``pages`` says whether the cards have pages to name.
    """
    rows = [
        _row(number, board, standing, pages) for number, board in enumerate(boards, 1)
        for standing in board.standings
    ]  # fmt: skip
    names = list(dict.fromkeys(name for row in rows for name in row))
    found: Table = {name: [row.get(name) for row in rows] for name in names}
    keys = list(dict.fromkeys(column.key for board in boards for column in board.columns))
    records = [standing.entry.records for board in boards for standing in board.standings]
    called = column_names(keys)
    for key in keys:
        for suffix, place in (("", 0), (" low", 1), (" high", 2)):
            found[f"metric {called[key]}{suffix}"] = [_span(of_card.get(key))[place] for of_card in records]
        taken = [_at(of_card.get(key)) or None for of_card in records]
        if any(taken):
            found[f"at {called[key]}"] = taken
    return found


def comma_separated(columns: Table) -> str:
    """As RFC 4180. A text that a spreadsheet would take for a formula begins with an apostrophe."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(map(_inert, columns))
    for row in zip(*columns.values(), strict=True):
        writer.writerow([_inert(cell) if isinstance(cell, str) else _plain(cell) for cell in row])
    return lines.getvalue()


def write_parquet(columns: Table, path: Path) -> None:
    """Texts, 64-bit whole numbers and doubles; null where there is no number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def kind(name: str) -> pa.DataType:
        if name in _WHOLE:
            return pa.int64()
        return pa.float64() if name in _NUMBERS or name.startswith("metric ") else pa.string()

    arrays = {name: pa.array(values, kind(name)) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), path)


def markdown(boards: Sequence[Board], left_out: Sequence[LeftOut], *, pages: bool) -> str:
    """A table for each board: place, encoder, accuracy, and every metric that a card shows first."""
    parts = ["# Leaderboard", RULE]
    for number, board in enumerate(boards, 1):
        parts += [f"## Board {number}: {escaped(heading(board))}", f"{escaped(settings(board))}."]
        parts.append(f"{escaped(ranked_by(board))}.")
        parts += [f"Of the data, the same for every encoder: {escaped(_of_data(board))}."] * bool(
            board.of_data
        )
        parts.append(_grid(board, pages))
        older = [
            f"- {escaped(old.name)}: {escaped(old.path)}, superseded by {escaped(new.path)}"
            for old, new in board.superseded
        ]
        parts += ["\n".join(older)] * bool(older)
    if left_out:
        parts += ["## Files that hold no card"]
        parts.append("\n".join(f"- {escaped(one.path)}: {escaped(one.reason)}" for one in left_out))
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in utf8(text))
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", shown)


def _row(number: int, board: Board, standing: Standing, pages: bool) -> dict[str, Any]:
    card, held = standing.entry.card, board.settings
    encoder, leading = card.encoder, standing.entry.records.get(board.leading) if board.leading else None
    value, low, high = _span(leading)
    texts = {
        "suite": held.suite,
        "data": board.data,
        "data_digest": held.digest,
        "recipe": held.recipe,
        "views_mode": held.views_mode,
        "precision": held.precision,
        "accuracy": board.leading.row if board.leading else None,
        "status": standing.word or "ranked",
        "reason": standing.sentence,
        "marks": ", ".join(standing.marks),
        "encoder": encoder.ref,
        "architecture": encoder.name,
        "encoder_digest": encoder.digest,
        "method": encoder.facts.get("method"),
        "licence": encoder.facts.get("licence"),
        "device": card.provenance.device,
        "card": f"cards/{standing.entry.page}" if pages else None,
    }
    return {
        "board": number,
        "rank": standing.rank,
        **{name: utf8(text) if text else None for name, text in texts.items()},
        "views": held.views,
        "seed": held.seed,
        "value": value,
        "low": low,
        "high": high,
        "parameters": encoder.parameters,
        "dim": encoder.dim,
        "input_height": encoder.preprocess.size[0],
        "input_width": encoder.preprocess.size[1],
        "images_per_second": card.provenance.images_per_second,
    }


def _span(record: MetricRecord | None) -> tuple[float | None, float | None, float | None]:
    """Value, low, high."""
    if record is None or record.value is None:
        return None, None, None
    if record.interval is None:
        return record.value, None, None
    return record.value, record.interval.low, record.interval.high


def _at(record: MetricRecord | None) -> str:
    """``delta 3.86``; empty where there is no value that was taken anywhere."""
    return "" if record is None or record.value is None else utf8(where(record))


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_LEADS_TO_FORMULA) else text


def _plain(cell: float | int | None) -> str:
    return "" if cell is None else repr(cell)


def _of_data(board: Board) -> str:
    said = []
    for one in board.of_data:
        sizes = ", ".join(f"{height} x {width}" for height, width in one.sizes)
        value, low, high = _span(one.record)
        span = "" if low is None else f" [{low!r}, {high!r}]"
        paper = f" ({one.record.paper})" if one.record.paper else ""
        parts = (f"{one.record.summary}{paper} {value!r}{span}", one.at, sizes and f"images of {sizes} px")
        said.append(", ".join(filter(None, parts)))
    return "; ".join(said)


def _grid(board: Board, pages: bool) -> str:
    shown = [column for column in board.columns if column.key == board.leading or column.main]
    low_high = ("low", "high") if board.leading else ()
    heads: list[str] = ["rank", "encoder", "status"]
    for column in shown:
        heads += [
            f"{column.record.summary} ({column.name})",
            *(low_high if column.key == board.leading else ()),
        ]
    lines = [[*heads, "parameters", "dim", "input", "images/s", "licence"]]
    for standing in board.standings:
        lines.append(_line(board, standing, [column.key for column in shown], pages))
    rule = "| " + " | ".join(["---"] * len(lines[0])) + " |"
    head, *rows = ("| " + " | ".join(line) + " |" for line in [list(map(escaped, lines[0])), *lines[1:]])
    return "\n".join([head, rule, *rows])


def _line(board: Board, standing: Standing, shown: Sequence[Key], pages: bool) -> list[str]:
    card = standing.entry.card
    name = escaped(card.encoder.ref)
    words = [standing.word, *standing.marks] if standing.word else list(standing.marks)
    said = [f"{standing.word}: {standing.sentence}"] if standing.word else words
    numbers: list[str] = []
    for key in shown:
        record = standing.entry.records.get(key)
        value, low, high = map(_plain, _span(record))
        taken = _at(record)
        numbers += (
            [value, low, high] if key == board.leading else [f"{value}, {escaped(taken)}" if taken else value]
        )
    height, width = card.encoder.preprocess.size
    return [
        _plain(standing.rank),
        f"[{name}](cards/{standing.entry.page})" if pages else name,
        escaped(", ".join(said)),
        *numbers,
        _plain(card.encoder.parameters),
        _plain(card.encoder.dim),
        f"{height} x {width}",
        _plain(card.provenance.images_per_second),
        escaped(card.encoder.facts.get("licence", "")),
    ]

"""The cards in a folder, and what a leaderboard takes of each."""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sslaudit.errors import CardError, SslauditError
from sslaudit.report.card import MetricRecord, ReportCard, from_json, utf8

_LARGEST = 2**63
"""Whole numbers from here on are no 64-bit column."""


@dataclass(frozen=True, order=True, slots=True)
class Key:
    """What two numbers have in common that may stand in one column."""

    row: str
    """``knn.top-5``: the term, with the name of the estimate."""
    space: str
    version: int
    options: str

    @classmethod
    def of(cls, record: MetricRecord) -> "Key":
        """The key of a number on a card."""
        return cls(record.row, record.space, record.version, repr(sorted(record.options.items())))


@dataclass(frozen=True, slots=True)
class Entry:
    """One card, without its figures and samples."""

    path: str
    """Under the folder that was read, with ``/``."""
    file: Path
    digest: str
    """sha256 of the file."""
    card: ReportCard
    records: dict[Key, MetricRecord]

    @property
    def name(self) -> str:
        """The encoder, as the user wrote it."""
        return self.card.encoder.ref

    @property
    def page(self) -> str:
        """A file name that every file system takes, of this card alone."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name)[-60:].strip("-.") or "encoder"
        return f"{name}-{self.digest[:12]}.html"


@dataclass(frozen=True, order=True, slots=True)
class LeftOut:
    """A file that is no card, or none that can be read."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reported:
    """A number that a paper reports. It was not measured here and is ranked with nothing."""

    model: str
    source: str
    data: str
    metric: str
    value: float
    note: str = ""


def read_entries(folder: Path, *, figures: bool = True) -> tuple[list[Entry], list[LeftOut]]:
    """Every card in a JSON file under ``folder``, and the files that hold none, both by path.

    Hidden folders and files are passed over, and of equal files all but the first. Without ``figures``
    those of a card may be anything, which halves the time. Raises ``CardError`` where there is no card.
    """
    if not folder.is_dir():
        raise CardError(f"'{folder}' is no folder; name one that holds cards.")
    found: dict[str, Entry] = {}
    left_out: list[LeftOut] = []
    for path in _json_files(folder, left_out):
        name = utf8(path.relative_to(folder).as_posix())
        try:
            entry = read_entry(path, name, figures=figures)
        except CardError as error:
            left_out.append(LeftOut(name, utf8(str(error))))
        else:
            found.setdefault(entry.digest, entry)
    if not found:
        why = f"the first JSON file is none: {min(left_out).reason}" if left_out else "no JSON file."
        raise CardError(f"there is no card under '{folder}': {why}")
    return list(found.values()), sorted(left_out)


def read_entry(path: Path, name: str, *, figures: bool = True) -> Entry:
    """The card in one file. Raises ``CardError``."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
        card = from_json(text if figures else _without_figures(text), f"'{name}'")
    except CardError:
        raise
    except SslauditError as error:  # an interval that is upside down
        raise CardError(f"'{name}' is not a report card: {error}") from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise CardError(f"cannot read '{name}': {error}.") from None
    if wrong := _out_of_range(card):
        raise CardError(f"'{name}' is not a report card: {wrong} is out of range.")
    if figures:
        card = replace(card, metrics=tuple(replace(record, figures=()) for record in card.metrics))
    records = {Key.of(record): record for record in card.metrics}
    return Entry(
        path=name,
        file=path,
        digest=hashlib.sha256(content).hexdigest(),
        card=card,
        records=records,
    )


def _without_figures(text: str) -> str:
    """The text of a card with no figure in it; any other text as it is, for its reader to refuse."""
    from pydantic_core import from_json as loads  # several times faster than json's

    try:
        content = loads(text)
        for metric in content["metrics"]:
            metric["figures"] = []
    except (ValueError, LookupError, TypeError, RecursionError):
        return text
    return json.dumps(content)


def _out_of_range(card: ReportCard) -> str:
    """The first number that no table takes."""
    numbers = {record.row: record.value for record in card.metrics}
    numbers["images_per_second"] = card.provenance.images_per_second
    for name, value in numbers.items():
        if value is not None and not math.isfinite(value):
            return name
    encoder, data = card.encoder, card.data
    whole = {"dim": encoder.dim, "parameters": encoder.parameters, "views": data.views, "seed": data.seed}
    whole |= dict(zip(("height", "width"), encoder.preprocess.size, strict=True))
    return next((name for name, number in whole.items() if not 0 <= number < _LARGEST), "")


def _json_files(folder: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Files by path. A folder that several links lead to is read once."""

    def refused(error: OSError) -> None:
        name = utf8(os.path.relpath(error.filename, folder))
        left_out.append(LeftOut(name, f"cannot read '{name}': {error.strerror}."))

    seen = {os.path.realpath(folder)}
    for where, folders, files in os.walk(folder, followlinks=True, onerror=refused):
        kept = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(where, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        for name in sorted(files):
            path = Path(where, name)
            if name.endswith(".json") and not name.startswith(".") and path.is_file():
                yield path

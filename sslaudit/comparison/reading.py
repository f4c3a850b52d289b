"""Cards from disk with their samples left there: a column is read when it is asked for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sslaudit.errors import CardError, UsageError
from sslaudit.report.card import ReportCard, from_json
from sslaudit.report.phrases import listed


class StoredSamples(Mapping[str, Sequence[Any]]):
    """The columns of a ``samples.parquet``, so that a hundred cards fit into memory.

    Raises ``CardError`` where the file cannot be read, also when a column is asked for.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._path = path
        with _readable(path):
            self._names = pq.read_schema(path).names

    def __getitem__(self, name: str) -> Sequence[Any]:
        import pyarrow.parquet as pq

        if name not in self._names:
            raise KeyError(name)
        with _readable(self._path):
            column: Sequence[Any] = pq.read_table(self._path, columns=[name]).column(0).to_pylist()
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_cards(paths: Sequence[Path]) -> tuple[list[ReportCard], list[str]]:
    """The cards at ``paths``, folders or their ``card.json``, and names that tell them apart.

    A name is the reference of the encoder, the path where another card has the same. Raises ``CardError``
    for what is no card, and ``UsageError`` for a card that is named twice.
    """
    empty = [f"'{path}'" for path in paths if path.is_dir() and not (path / "card.json").is_file()]
    if empty:
        hold = "holds" if len(empty) == 1 else "hold"
        raise CardError(
            f"{listed(empty)} {hold} no card.json; name folders that `evaluate` wrote, and no others."
        )
    files = [path / "card.json" if path.is_dir() else path for path in paths]
    places = [file.resolve() for file in files]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise UsageError(f"the card '{paths[number]}' is named twice.")
    cards = [_read(file) for file in files]
    refs = [card.encoder.ref for card in cards]
    return cards, [str(path) if refs.count(ref) > 1 else ref for path, ref in zip(paths, refs, strict=True)]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise CardError(f"cannot read the samples of a card, '{path}': {said}.") from None


def _read(file: Path) -> ReportCard:
    try:
        card = from_json(file.read_text(encoding="utf-8"), f"'{file}'")
    except UnicodeDecodeError:
        raise CardError(f"'{file}' is not a report card: it is no text.") from None
    except OSError as error:
        raise CardError(f"cannot read the card '{file}': {error.strerror or error}.") from None
    samples = file.with_name("samples.parquet")
    return replace(card, samples=StoredSamples(samples)) if samples.is_file() else card

"""The log of a run: a CSV file beside the checkpoint, and events for TensorBoard where it is installed."""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sslaudit.errors import OutputError
from sslaudit.whole import replacing

_ENDINGS = (".pt", ".pth", ".ckpt")
_COLUMNS = ("epoch", "step", "loss", "lr", "spread", "rank", "online", "images_per_second", "seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """What one pass over the training images gave."""

    number: int
    epochs: int
    loss: float
    """Mean over the steps."""
    lr: float
    """Of the last step."""
    spread: float
    """Of the embeddings, see ``sslaudit.train.monitor``."""
    rank: float | None
    """Effective rank of the embeddings."""
    online: float | None
    """Accuracy on training images, where it was asked for."""
    seconds: float
    """That the steps took."""
    images_per_second: float
    """Images, each with all its views."""
    collapsed: str | None = None
    """A sentence, when the embeddings are one, or vary along one line."""

    def __str__(self) -> str:
        rank = "" if self.rank is None else f"  rank {self.rank:6.1f}"
        online = "" if self.online is None else f"  accuracy {self.online:.3f}"
        return (
            f"epoch {self.number:{len(str(self.epochs))}} of {self.epochs}  loss {self.loss:7.4f}  "
            f"spread {self.spread:.2f}{rank}{online}  {self.images_per_second:,.0f}/s"
        )


def log_path(output: Path) -> Path:
    """Where the log of the checkpoint ``output`` lies: ``last.csv`` beside ``last.pt``."""
    stem = output.stem if output.suffix in _ENDINGS else output.name
    return output.with_name(f"{stem}.csv")


class Log:
    """A context; each row is on disk when ``write`` returns. A cell without a value is empty."""

    def __init__(self, output: Path, *, after_epoch: int = 0, online: str | None = None) -> None:
        """Beside the checkpoint ``output``. Of an earlier log the epochs up to ``after_epoch`` stay.

        ``online`` names what the accuracy is by: the column ``online_knn``. Raises ``OutputError``, also
        where a file that is no log stands in its place.
        """
        self.path = log_path(output)
        name = f"online_{online.replace('-', '_')}" if online else "online"
        self._columns = [name if column == "online" else column for column in _COLUMNS]
        with _writing(self.path):
            _refuse_another(self.path)
            earlier = _rows(self.path, after_epoch) if after_epoch else []
            self._replace(earlier)
            step = int(earlier[-1]["step"]) if earlier else 0
            self._board = _board(self.path.with_suffix(".tensorboard"), step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, epoch: Epoch, *, step: int) -> None:
        """One row; ``step`` counts the steps since the start of the run. Raises ``OutputError``."""
        numbers = [epoch.loss, epoch.lr, epoch.spread, epoch.rank, epoch.online, epoch.images_per_second]
        shown = dict(zip(self._columns[2:], [*numbers, epoch.seconds], strict=True))
        row = {"epoch": str(epoch.number), "step": str(step)}
        row |= {name: _cell(value) for name, value in shown.items()}
        with _writing(self.path):
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(self._text([row]))
            if self._board is not None:
                for name, cell in row.items():
                    if cell and name not in ("epoch", "step"):
                        self._board.add_scalar(name, float(cell), step)
                self._board.flush()

    def close(self) -> None:
        """No more rows come. Raises ``OutputError``."""
        board, self._board = self._board, None
        if board is not None:
            with _writing(self.path):
                board.close()

    def _replace(self, rows: list[dict[str, str]]) -> None:
        """The file, whole: the header and these rows."""
        header = dict(zip(self._columns, self._columns, strict=True))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as beside:
            beside.write_text(self._text([header, *rows]), encoding="utf-8", newline="")

    def _text(self, rows: list[dict[str, str]]) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, extrasaction="ignore", lineterminator="\n")
        writer.writerows(rows)
        return text.getvalue()


def _refuse_another(path: Path) -> None:
    """Raises ``OutputError`` for a file of another kind, which a log would replace."""
    start = ",".join(_COLUMNS[:3]).encode()
    if path.exists():
        with path.open("rb") as file:
            found = file.read(len(start))
        if not start.startswith(found):  # a killed run may leave less than a header
            raise OutputError(f"'{path}' is no log of a run; move it away, or name another --output.")


def _rows(path: Path, last: int) -> list[dict[str, str]]:
    """Rows of an earlier log up to the epoch ``last``, without a line that a killed run left unfinished."""
    if not path.exists():
        return []
    lines = [
        line
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        if line.endswith("\n")
    ]
    return [row for row in csv.DictReader(lines) if _counted(row) and int(row["epoch"]) <= last]


def _counted(row: Mapping[str, str | None]) -> bool:
    return all((row.get(name) or "").isdecimal() for name in ("epoch", "step"))


def _cell(value: float | None) -> str:
    return f"{value:.6g}" if value is not None and math.isfinite(value) else ""


def _board(folder: Path, step: int) -> Any:
    """A writer of events from ``step`` on; None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    if not step and folder.is_dir():  # a run that is replaced would be drawn beside this one
        for events in folder.glob("events.out.tfevents.*"):
            events.unlink()
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write the log '{path}': {error.strerror or error}.") from error

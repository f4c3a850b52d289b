"""The file of a run: what stands there already, and when it is written."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from sslaudit.errors import OutputError, TrainingError, UnreadableFile, UsageError
from sslaudit.train.checkpoint import (
    Header,
    check_output,
    is_checkpoint,
    not_finite,
    read_checkpoint,
    training_of,
    write_checkpoint,
)
from sslaudit.train.choices import Choices
from sslaudit.train.state import Training

_MAY_DIFFER = {"format", "epoch", "data", "views", "sslaudit", "torch"}
_CHOSEN = {choice.name for choice in fields(Choices)}


@dataclass(frozen=True, slots=True)
class Earlier:
    """The run whose file stands at ``--output``."""

    header: Header
    training: Mapping[str, Any] | None
    """From where it goes on; None when it is finished."""


def earlier_run(output: Path, *, resume: bool, overwrite: bool) -> Earlier | None:
    """The run to go on with; None to start anew.

    Raises ``UsageError`` for both wishes at once, and ``OutputError`` for a file that neither of them
    allows to replace, or that no run can go on from.
    """
    if resume and overwrite:
        raise UsageError("--resume goes on with what --overwrite replaces; give one of the two.")
    check_output(output)
    if overwrite or not output.exists():
        return None
    earlier = _read(output)
    if not resume:
        raise OutputError(f"--output {output} {_advice(earlier)}.")
    if earlier is None:
        raise OutputError(f"--output {output} is no file of a training run; --resume cannot go on from it.")
    header = earlier.header
    if earlier.training is None and header.epoch < header.epochs:
        raise OutputError(
            f"--output {output} was kept at epoch {header.epoch} of {header.epochs} and lacks what a run "
            "goes on from; resume the file of the run itself."
        )
    return earlier


def _read(output: Path) -> Earlier | None:
    """None for a file of another kind."""
    try:
        content = torch.load(output, map_location="cpu", weights_only=True)
        if isinstance(content, Mapping) and is_checkpoint(content):
            return Earlier(read_checkpoint(content)[0], training_of(content))
    except UnreadableFile as error:
        raise OutputError(f"--output {output}: {error}") from None
    except Exception:  # whatever torch says of a file of another kind
        return None
    return None


def _advice(earlier: Earlier | None) -> str:
    if earlier is None:
        return "exists; add --overwrite to replace it"
    header = earlier.header
    if earlier.training is None:
        return f"holds a run of {header.method}, {header.epoch} epochs; add --overwrite to replace it"
    stand = f"epoch {header.epoch} of {header.epochs}"
    return f"holds an unfinished run, {stand}: add --resume to go on, or --overwrite"


def refuse_another(output: Path, begun: Header, now: Header) -> None:
    """Raises ``UsageError`` when the run that was ``begun`` is not this one."""
    before, wanted = asdict(begun), asdict(now)
    differing = [name for name in wanted if name not in _MAY_DIFFER and before[name] != wanted[name]]
    if not differing:
        return
    there, here = (
        ", ".join(f"{_flag(name)} {_short(name, of[name])}" for name in differing) for of in (before, wanted)
    )
    raise UsageError(
        f"--output {output} was begun with {there}; this run has {here}. "
        "Go on as it was begun, or start anew with --overwrite."
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}" if name in _CHOSEN else name.replace("_", " ")


def _short(name: str, value: object) -> str:
    return str(value)[:12] if name == "data_digest" else "none" if value is None else str(value)


class Saves:
    """Writes the file of a run: at ends of epochs that are far enough apart, at interruptions, at the end."""

    def __init__(
        self,
        output: Path,
        header: Header,
        training: Training,
        *,
        seconds: float,
        keep_every: int | None,
        saved: bool,
        silent: bool,
    ) -> None:
        """``saved`` tells that the file holds the run as it is now; ``silent``, that another process
        writes."""
        self.header = header
        self._output, self._training, self._silent = output, training, silent
        self._seconds, self._keep_every = seconds, keep_every
        self._last = time.monotonic()
        self._saved = training.done if saved else 0
        self.place = self._stand() if saved else None
        """What of the run stands in the file, in words; None for nothing."""

    def _stand(self) -> str:
        course = self._training.course
        if not course.step:
            return f"epoch {course.epoch}"
        return f"epoch {course.epoch + 1}, step {course.step} of {self._training.steps}"

    def stopped(self, what: str) -> TrainingError:
        """What to raise when ``what`` shows a run that cannot go on."""
        where = f"at step {self._training.done} (epoch {self._training.course.epoch + 1})"
        stays = f"the last good checkpoint, of {self.place}, stays in {self._output}"
        kept = stays if self.place else "nothing was written"
        return TrainingError(f"the {what} {where}; {kept}. Try a smaller --lr.")

    def refuse_not_finite(self) -> None:
        """Raises ``TrainingError`` when a weight is NaN or infinite."""
        if name := not_finite(self._training.method.state_dict()):
            raise self.stopped(f"weights '{name}' are no longer finite")

    def after_epoch(self) -> None:
        """What is due at the end of an epoch. Raises as ``write_checkpoint``."""
        epoch = self._training.course.epoch
        if self._keep_every and epoch % self._keep_every == 0 and not self._silent:
            kept = self._output.with_name(f"{self._output.stem}-epoch-{epoch:04d}{self._output.suffix}")
            write_checkpoint(kept, replace(self.header, epoch=epoch), self._training.method)
        if self._training.done == self._training.total:
            self._write(None)
        elif time.monotonic() - self._last >= self._seconds:
            self.now()

    def now(self) -> None:
        """Write what an interrupted run goes on from, unless it is there. Raises as ``write_checkpoint``."""
        if self._training.done > self._saved:
            self.refuse_not_finite()
            self._write(self._training.state())

    def _write(self, training: Mapping[str, object] | None) -> None:
        self.header = replace(self.header, epoch=self._training.course.epoch)
        if not self._silent:
            try:
                write_checkpoint(self._output, self.header, self._training.method, training)
            except OutputError as error:
                stays = f" The last good checkpoint, of {self.place}, stays." if self.place else ""
                raise OutputError(f"{error}{stays}") from error
        self._last, self._saved, self.place = time.monotonic(), self._training.done, self._stand()

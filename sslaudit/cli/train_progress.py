"""What a training run says while it goes, on stderr, and at its end."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sslaudit.report.progress import clock
from sslaudit.report.terminal import console

if TYPE_CHECKING:
    from sslaudit.train.checkpoint import Header
    from sslaudit.train.log import Epoch

_EVERY_SECONDS, _EVERY_SHARE = 30.0, 0.05
"""Without a terminal there is a line when so many seconds or such a share of the epochs have passed."""


class EpochMeter:
    """A context: a bar with rate, time left, loss and spread on a terminal, some lines otherwise."""

    def __init__(self, *, silent: bool = False) -> None:
        """With ``silent`` nothing is shown: another process of the same run speaks."""
        self._console = console(stderr=True)
        self._console.quiet = silent
        self._live = self._console.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[stand]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not self._live)
        self._task = self._bar.add_task("training", total=None, stand="")
        self._before: int | None = None
        self._began = self._spoke = time.monotonic()
        self._shown = 0
        self.last: Epoch | None = None
        """The last epoch of the run; None before there is one."""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, done: int, total: int) -> None:
        """So many steps of the whole run are done."""
        now = time.monotonic()
        if self._before is None:  # the first step warms up, and a resumed run does not start at 0
            self._before, self._began = done, now
        self._bar.update(self._task, completed=done, total=total)
        if not self._live and done > self._before and now - self._spoke >= _EVERY_SECONDS:
            self._spoke = now
            left = (total - done) * (now - self._began) / (done - self._before)
            self.say(f"step {done:,} of {total:,}, {clock(left)} left")

    def epoch(self, epoch: "Epoch") -> None:
        """An epoch is done."""
        self.last = epoch
        stand = f"{epoch.images_per_second:,.0f} images/s  loss {epoch.loss:.4f}  spread {epoch.spread:.2f}"
        self._bar.update(self._task, description=f"epoch {epoch.number} of {epoch.epochs}", stand=stand)
        now = time.monotonic()
        due = (
            not self._shown
            or epoch.number == epoch.epochs
            or epoch.number - self._shown >= _EVERY_SHARE * epoch.epochs
            or now - self._spoke >= _EVERY_SECONDS
        )
        if due and not self._live:
            self._shown, self._spoke = epoch.number, now
            self.say(str(epoch))

    def say(self, message: str) -> None:
        """One line."""
        self._console.print(message, markup=False, soft_wrap=True)


def summary(header: "Header", last: "Epoch", online: str | None) -> list[str]:
    """What a run came to, in a few lines: a collapse first."""
    lines = [last.collapsed] if last.collapsed else []
    lines.append(
        f"{header.method} with {header.backbone}: {header.epoch:,} epochs of {header.images:,} images, "
        f"{last.images_per_second:,.0f} images/s"
    )
    lines.append(f"loss    {last.loss:.4f}, mean of the last epoch")
    lines.append(f"spread  {last.spread:.2f} of the embeddings: 0 where all are one, near 1 all around")
    if last.rank is not None:
        lines.append(f"rank    {last.rank:.1f}, the directions that they fill, of {header.dim:,}")
    if online is not None and last.online is not None:
        lines.append(
            f"{online:7} {100 * last.online:.1f} % right on training images: no score on unseen ones"
        )
    return lines

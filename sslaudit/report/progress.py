"""Progress on stderr: a bar with rate and time left on a terminal, a line every 30 s otherwise."""

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from sslaudit.extraction import Progress as Stand
from sslaudit.report.phrases import cut
from sslaudit.report.terminal import console

_EVERY_SECONDS = 30.0


class Meter:
    """A context that shows how an extraction goes."""

    def __init__(self, *, silent: bool = False) -> None:
        """With ``silent`` nothing is shown: another process of the same run speaks."""
        self._console = console(stderr=True)
        self._console.quiet = silent
        self._live = self._console.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[stand]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not self._live)
        self._task: TaskID | None = None
        self._name = ""
        self._began = self._spoke = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def wait(self, name: str) -> None:
        """Something goes on whose length is not known yet."""
        self._name, self._began = name, time.monotonic()
        self._show(name, total=None)

    def start(self, name: str) -> None:
        """From now on progress is that of ``name``."""
        self._name, self._began = name, time.monotonic()
        self._show(name, total=1)

    def update(self, progress: Stand, unit: str = "views") -> None:
        """Show where the extraction stands, or whatever else counts in ``unit``."""
        fresh = progress.done - progress.cached
        if not fresh:  # an extraction begins, perhaps one of several under this name
            self._began = time.monotonic()
        seconds = max(time.monotonic() - self._began, 1e-9)
        stand = f"{progress.done:,} of {progress.total:,} {unit}"
        if fresh:
            stand += f"  {fresh / seconds:,.0f}/s"
        if self._task is not None:
            self._bar.update(self._task, completed=progress.done, total=progress.total, stand=stand)
        if not self._live and fresh and time.monotonic() - self._spoke >= _EVERY_SECONDS:
            self._spoke = time.monotonic()
            left = clock((progress.total - progress.done) * seconds / fresh)
            self.say(f"{self._name}: {stand}, {left} left")

    def step(self, number: int, loss: float) -> None:
        """Show where a search stands that may end before its last step."""
        if number == 1:
            self.wait(self._name)
        stand = f"step {number:,}, loss {loss:.4f}"
        if self._task is not None:
            self._bar.update(self._task, stand=stand)
        if not self._live and time.monotonic() - self._spoke >= _EVERY_SECONDS:
            self._spoke = time.monotonic()
            self.say(f"{self._name}: {stand}")

    def _show(self, name: str, *, total: int | None) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(cut(name, 30), total=total, stand="")

    def say(self, message: str) -> None:
        """One line."""
        self._console.print(message, markup=False, soft_wrap=True)


def clock(seconds: float) -> str:
    """``4 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

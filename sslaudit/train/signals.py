"""SIGINT and SIGTERM during a run: the step in work ends first."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_HELD = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """A context in which the first SIGINT or SIGTERM waits in ``caught`` until it is obeyed.

    A second one ends the run at once, except where ``patient``. On leaving, a signal that was caught
    and not obeyed is obeyed. Outside of the main thread, and for a signal that the process ignores,
    nothing changes.
    """

    def __init__(self, *, patient: bool = False) -> None:
        """``patient`` under ``torchrun``, which passes one Ctrl-C on twice and kills after a while."""
        self.caught = 0
        """The number of the signal; 0 for none."""
        self._patient = patient
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _HELD:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._hold)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None and self.caught:
            obey(self.caught)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self.caught and not self._patient:
            obey(number)
        self.caught = number


def obey(number: int) -> None:
    """End the program as the signal asks: ``KeyboardInterrupt``, or ``SystemExit`` with 128 + its number."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)

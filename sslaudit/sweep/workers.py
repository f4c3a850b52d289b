"""Processes that take tasks from a list, one at a time, and may die without harm to the others."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self, TypeVar

from sslaudit.train.signals import obey

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that a process has to save what it was doing."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Workers:
    """A context of ``count`` processes; on the way out all are stopped, whatever they do.

    ``prepare(argument)`` runs in each and gives the function that is called with every task. An
    interruption of the terminal reaches this process alone, which tells the others by SIGTERM.
    """

    def __init__(self, count: int, prepare: Callable[[Any], Callable[[Any], Any]], argument: Any) -> None:
        self._count, self._prepare, self._argument = count, prepare, argument
        self._context = get_context("spawn")  # a fork would copy threads of torch that do not run
        self._at: dict[Connection, BaseProcess] = {}
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, lambda number, frame: obey(number))
        for _ in range(self._count):
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
        for connection, process in self._at.items():
            connection.close()
            if kind is not None:
                process.terminate()
        for process in self._at.values():
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()

    def each(self, tasks: Sequence[T], sent: Callable[[T], Any]) -> Iterator[tuple[T, Any]]:
        """Each task with its result as it comes, or with a text that says how its process ended."""
        waiting, busy = list(tasks), dict[Connection, T]()
        for connection in list(self._at):
            self._next(connection, waiting, busy, sent)
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                task = busy.pop(ready)
                try:
                    result = ready.recv()
                except (EOFError, OSError):  # reset, when it died with a task unread
                    result = self._buried(ready)
                    ready = self._start() if waiting else ready
                yield task, result
                self._next(ready, waiting, busy, sent)

    def _next(
        self, connection: Connection, waiting: list[T], busy: dict[Connection, T], sent: Callable[[T], Any]
    ) -> None:
        if waiting:
            busy[connection] = waiting.pop(0)
            with suppress(OSError):  # it died meanwhile, which is read as the end of this task
                connection.send(sent(busy[connection]))

    def _start(self) -> Connection:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._prepare, self._argument), daemon=True
        )
        before = {name: os.environ.get(name) for name in _THREADS}
        os.environ.update(dict.fromkeys(_THREADS, "1"))  # read once, when the libraries are imported
        try:
            with _deaf():
                process.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        theirs.close()
        self._at[ours] = process
        return ours

    def _buried(self, connection: Connection) -> str:
        process = self._at.pop(connection)
        connection.close()
        process.join()
        code = process.exitcode or 0
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _serve(tasks: Connection, prepare: Callable[[Any], Callable[[Any], Any]], argument: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    do = prepare(argument)
    while True:
        try:
            task = tasks.recv()
        except EOFError:  # nothing more is asked, or the asking process is gone
            return
        tasks.send(do(task))


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that start now ignore SIGINT from their first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

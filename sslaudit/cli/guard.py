"""What every command does with errors, and with plugins that failed."""

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from sslaudit.errors import SslauditError
from sslaudit.registry import Registry, installed
from sslaudit.world import World

P = ParamSpec("P")

INTERRUPTED = 130


def guarded(command: Callable[P, int | None]) -> Callable[P, None]:
    """A command that prints an error as its message alone and exits with its code.

    What is no ``SslauditError`` is a bug and keeps its traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs) or 0
        except SslauditError as error:
            complain(f"error: {error}")
            code = error.exit_code
        except KeyboardInterrupt:
            complain("interrupted.")
            code = INTERRUPTED
        except BrokenPipeError:  # the reader of stdout went away, as `head` does
            _forget_stdout()
            code = 0
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            _forget_stdout()
            complain("error: the output is cut: no space left on the device.")
            code = 1
        raise typer.Exit(code)

    return run


def _forget_stdout() -> None:
    """What is still held back for stdout goes nowhere, and not into a traceback at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(message: str) -> None:
    """One message on stderr, control characters and undecodable bytes escaped.

    Of several processes each but the first says which it is.
    """
    rank = World.from_environment().rank
    message = f"[rank {rank}] {message}" if rank else message
    shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in message)
    typer.echo(shown.encode("utf-8", "backslashreplace").decode(), err=True)


def registry() -> Registry:
    """The installed plugins; each that failed is named in one line on stderr."""
    found = installed()
    for plugin in found.plugins:
        if plugin.status == "failed":
            complain(f"plugin {plugin} failed and is left out: {plugin.reason}")
    return found

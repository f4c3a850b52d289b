"""``evaluate --suite``: a protocol that chooses, and refuses what is chosen beside it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from sslaudit.named import read_suite

if TYPE_CHECKING:
    from sslaudit.named import AuditSuite


def chosen_suite(context: typer.Context, name: str | None) -> "AuditSuite | None":
    """The suite of that name. Raises ``UsageError`` for none, and for an option beside that it decides."""
    if name is None:
        return None
    from sslaudit.settings import BY_SUITE, UNSUITED, refuse_beside

    suite = read_suite(name)
    for option in (*BY_SUITE, *UNSUITED):
        if is_given(context, option):
            raise refuse_beside(suite, option)
    return suite


def given(context: typer.Context, options: Sequence[str]) -> list[str]:
    """Those of ``options`` that stand on the command line, as the user wrote them: ``--metrics``, ``knn``."""
    words: list[str] = []
    for option in options:
        if is_given(context, option):
            words += [f"--{option.replace('_', '-')}", str(context.params[option])]
    return words


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the user gave this option on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"

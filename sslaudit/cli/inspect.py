"""``sslaudit inspect``: did it load right? No data is read and nothing is scored."""

from typing import Annotated

import typer

from sslaudit.cli.guard import guarded, registry


@guarded
def inspect(
    ref: Annotated[str, typer.Argument(metavar="REF", help="A checkpoint file, or SCHEME:NAME.")],
) -> int:
    """Show how the weights came into the architecture: the load audit."""
    found = registry()
    from sslaudit.loading import load_encoder
    from sslaudit.report.terminal import console, load_audit

    console().print(load_audit(load_encoder(ref, registry=found)))
    return 0

"""``sslaudit inspect``: did it load right? No data is read and nothing is scored."""

from typing import Annotated

import typer

from sslaudit.cli.guard import complain, guarded, registry
from sslaudit.cli.options import (
    AllowPartial,
    Crop,
    Mean,
    Offline,
    Resize,
    Size,
    Std,
    TrustPickle,
    TrustRemoteCode,
    go_offline,
    read_override,
    with_flags,
)
from sslaudit.cli.sources import announce
from sslaudit.errors import SslauditError
from sslaudit.named import expand
from sslaudit.refs import EncoderRef


@guarded
def inspect(
    refs: Annotated[list[str], typer.Argument(metavar="REF...", help="Checkpoint files, or SCHEME:NAME.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: one object, or a list of several.")
    ] = False,
    allow_partial: AllowPartial = False,
    trust_pickle: TrustPickle = False,
    trust_remote_code: TrustRemoteCode = False,
    offline: Offline = False,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    interpolation: Resize = None,
    crop: Crop = None,
) -> int:
    """Show what a file is, what was taken from it and how, and how images will be prepared."""
    go_offline(offline)
    found = registry()
    parsed = with_flags(
        [EncoderRef.parse(expand(ref)) for ref in refs],
        found,
        allow_partial=allow_partial,
        trust_pickle=trust_pickle,
        trust_remote_code=trust_remote_code,
    )
    announce(parsed, found)
    override = read_override(size, mean, std, interpolation, crop)
    from sslaudit.loading import load_encoder
    from sslaudit.report.inspection import inspection, page, to_json
    from sslaudit.report.terminal import console

    code, texts = 0, []
    for ref in parsed:
        try:
            seen = inspection(load_encoder(ref, override=override, registry=found, mapped=True))
        except SslauditError as error:  # the others are still worth reading
            complain(f"error: {error}")
            code = max(code, error.exit_code)
            continue
        code = max(code, int(seen.failed))
        if as_json:
            texts.append(to_json(seen).rstrip("\n"))
            continue
        if ref is not parsed[0]:
            console().print()
        console().print(page(seen))
    if texts:
        typer.echo(texts[0] if len(parsed) == 1 else "[" + ",\n".join(texts) + "]")
    return code

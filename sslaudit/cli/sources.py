"""Several encoders: what is to be fetched is said, and what cannot be had is refused, before any work."""

from collections.abc import Sequence

from sslaudit.refs import EncoderRef
from sslaudit.registry import Registry


def announce(refs: Sequence[EncoderRef], registry: Registry) -> None:
    """One table on stderr when there is more than one encoder and any scheme knows its sources.

    Raises an ``SslauditError`` that lists every encoder that cannot be had.
    """
    schemes = [registry.encoder_scheme(ref) for ref in refs]
    if len(refs) < 2 or not any(scheme.resolve for scheme in schemes):
        return
    from sslaudit.loading import resolve_all
    from sslaudit.report.sources import source_table
    from sslaudit.report.terminal import console

    sources = resolve_all(refs, registry)
    console(stderr=True).print(source_table([str(ref) for ref in refs], sources))

"""What cannot be had is refused, and what is to be fetched is said, before any work."""

from collections.abc import Sequence

from sslaudit.refs import EncoderRef
from sslaudit.registry import Registry
from sslaudit.sources import resolve_all


def announce(refs: Sequence[EncoderRef], registry: Registry) -> None:
    """Refuses what cannot be had; one table on stderr when several encoders have sources.

    Raises an ``SslauditError`` that lists every encoder that cannot be had.
    """
    sources = resolve_all(refs, registry)
    remote = any(source.revision or source.to_fetch or source.gated for source in sources)
    if len(refs) > 1 and remote:
        from sslaudit.report.sources import source_table
        from sslaudit.report.terminal import console

        console(stderr=True).print(source_table([str(ref) for ref in refs], sources))

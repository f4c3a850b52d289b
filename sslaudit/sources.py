"""Where the weights of references come from, found out before any is fetched and before torch is imported."""

import os
from collections.abc import Sequence

from sslaudit.errors import EncoderError, EncoderNotFound, SslauditError
from sslaudit.refs import EncoderRef, is_path_like
from sslaudit.registry import Registry
from sslaudit.specs import Source, read_options


def resolve_all(refs: Sequence[EncoderRef], registry: Registry) -> list[Source]:
    """Where the weights of every reference come from, before any is fetched.

    Raises the error of the one reference that fails, or one ``EncoderError`` that lists all.
    """
    sources: list[Source] = []
    failures: list[SslauditError] = []
    for ref in refs:
        try:
            sources.append(_resolve(ref, registry))
        except SslauditError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        lines = [str(error).splitlines()[0] for error in failures[:8]]
        more = [f"and {len(failures) - 8} more"] if len(failures) > 8 else []
        listed = "".join(f"\n  {line}" for line in (*lines, *more))
        raise EncoderError(f"{len(failures)} of {len(refs)} encoders cannot be had:{listed}")
    return sources


def _resolve(ref: EncoderRef, registry: Registry) -> Source:
    scheme = registry.encoder_scheme(ref)
    read_options(dict(ref.options), scheme.options, f"'{ref}'")
    resolve = scheme.resolve
    if resolve is not None:
        return registry.encoders.call(scheme.scheme, ref, lambda: resolve(ref))
    target = ref.target()
    if target is not ref:
        registry.encoder_scheme(target)
    path = os.path.expanduser(target.locator)
    if os.path.exists(path):
        return Source(name=str(ref), bytes=os.path.getsize(path) if os.path.isfile(path) else None)
    if is_path_like(target.locator):
        raise EncoderNotFound(f"there is no such file: '{target.locator}'.")
    return Source(name=str(ref))

"""From text to encoder and data set, through the plugins."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from torch import nn

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder, Override, Preprocess, embedding_dim, from_module
from sslaudit.errors import EncoderError, EncoderNotFound, PluginError, SslauditError, UsageError
from sslaudit.refs import DataRef, EncoderRef, is_path_like
from sslaudit.registry import Registry, Table, installed
from sslaudit.specs import DatasetScheme, EncoderScheme, Source, read_options

T = TypeVar("T")


def load_encoder(
    ref: str | EncoderRef | nn.Module | Encoder,
    *,
    device: str = "cpu",
    preprocess: Preprocess | None = None,
    override: Override | None = None,
    registry: Registry | None = None,
    mapped: bool = False,
) -> Encoder:
    """The encoder that ``ref`` names, in eval mode on ``device``.

    A module of yours needs ``preprocess``, since nothing else says how its inputs are made.
    ``override`` wins over the preprocessing that the encoder brings. The weights lie in memory of
    their own; with ``mapped`` they may stay in the file, which then must not change. Raises ``RefError`` for a text
    that names nothing and ``EncoderError`` when the weights did not load or a size does not fit.
    """
    encoder = _load(ref, device, preprocess, registry)
    if isinstance(ref, str | EncoderRef) and not mapped and encoder.module is not None:
        _take_in(encoder.module)
    return encoder if override is None else _overridden(encoder, override, device)


def _load(
    ref: str | EncoderRef | nn.Module | Encoder,
    device: str,
    preprocess: Preprocess | None,
    registry: Registry | None,
) -> Encoder:
    if isinstance(ref, Encoder):
        return ref
    if isinstance(ref, nn.Module):
        if preprocess is None:
            raise UsageError("a module needs preprocess=Preprocess(size=..., mean=..., std=...).")
        return from_module(ref, preprocess=preprocess, device=device)
    if preprocess is not None:
        raise UsageError("preprocess= goes with a module; a reference brings its own.")
    ref = EncoderRef.parse(ref) if isinstance(ref, str) else ref
    registry = registry or installed()
    scheme = registry.encoder_scheme(ref)
    read_options(dict(ref.options), scheme.options, f"'{ref}'")
    return _call(registry.encoders, scheme, ref, lambda: scheme.load(ref, device))


def _take_in(module: nn.Module) -> None:
    """Copies weights out of a memory-mapped file: one that is written anew would end the process."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()


def _overridden(encoder: Encoder, override: Override, device: str) -> Encoder:
    """``encoder`` with other preprocessing, tried on one image when its size changes."""
    own, preprocess = encoder.preprocess, override.apply(encoder.preprocess)
    if preprocess.size == own.size:
        return replace(encoder, preprocess=preprocess)
    try:
        dim = embedding_dim(encoder.embed, preprocess, device)
    except Exception as error:  # whatever the network raises, it cannot take this size
        asked, takes = (f"{height} x {width}" for height, width in (preprocess.size, own.size))
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise EncoderError(
            f"'{encoder.ref}' cannot take images of {asked}: {reason}. It takes {takes}; leave out --size."
        ) from error
    return replace(encoder, preprocess=preprocess, dim=dim)


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
        return _call(registry.encoders, scheme, ref, lambda: resolve(ref))
    target = ref.target()
    if target is not ref:
        registry.encoder_scheme(target)
    path = Path(target.locator).expanduser()
    if path.exists():
        return Source(name=str(ref), bytes=path.stat().st_size if path.is_file() else None)
    if is_path_like(target.locator):
        raise EncoderNotFound(f"there is no such file: '{target.locator}'.")
    return Source(name=str(ref))


def load_untrained(ref: str | EncoderRef, *, seed: int = 0, device: str = "cpu") -> Encoder:
    """The architecture that ``ref`` names with fresh weights: the control of every score."""
    ref = EncoderRef.parse(ref) if isinstance(ref, str) else ref
    registry = installed()
    scheme = registry.encoder_scheme(ref)
    untrained = scheme.untrained
    if untrained is None:
        raise EncoderError(f"'{ref}': the scheme '{ref.scheme}' offers no untrained copy.")
    read_options(dict(ref.options), scheme.options, f"'{ref}'")
    return _call(registry.encoders, scheme, ref, lambda: untrained(ref, seed, device))


def load_dataset(ref: str | DataRef | Dataset, *, registry: Registry | None = None) -> Dataset:
    """The data set that ``ref`` names. Raises ``RefError`` or ``DataError``."""
    if isinstance(ref, Dataset):
        return ref
    ref = DataRef.parse(ref) if isinstance(ref, str) else ref
    registry = registry or installed()
    scheme = registry.dataset_scheme(ref)
    read_options(dict(ref.options), scheme.options, f"'{ref}'")
    return _call(registry.datasets, scheme, ref, lambda: scheme.open(ref))


def _call(
    table: "Table[EncoderScheme] | Table[DatasetScheme]",
    scheme: EncoderScheme | DatasetScheme,
    ref: EncoderRef | DataRef,
    make: Callable[[], T],
) -> T:
    try:
        return make()
    except SslauditError:
        raise
    except Exception as error:
        owner = table.owner(scheme.scheme)
        raise PluginError(
            f"plugin {owner} failed on '{ref}': {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        ) from error

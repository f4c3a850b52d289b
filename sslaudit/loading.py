"""From text to encoder and data set, through the plugins."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder, Preprocess, from_module
from sslaudit.errors import EncoderError, PluginError, SslauditError, UsageError
from sslaudit.refs import DataRef, EncoderRef
from sslaudit.registry import Registry, Table, installed
from sslaudit.specs import DatasetScheme, EncoderScheme, read_options

T = TypeVar("T")


def load_encoder(
    ref: str | EncoderRef | nn.Module | Encoder,
    *,
    device: str = "cpu",
    preprocess: Preprocess | None = None,
    registry: Registry | None = None,
) -> Encoder:
    """The encoder that ``ref`` names, in eval mode on ``device``.

    A module of yours needs ``preprocess``, since nothing else says how its inputs are made. Raises
    ``RefError`` for a text that names nothing and ``EncoderError`` when the weights did not load.
    """
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

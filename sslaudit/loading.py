"""From text to encoder and data set, through the plugins."""

from dataclasses import replace

from torch import nn

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder, Override, Preprocess, embedding_dim, from_module
from sslaudit.errors import EncoderError, UsageError
from sslaudit.refs import DataRef, EncoderRef
from sslaudit.registry import Registry, installed
from sslaudit.specs import read_options


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
    their own; with ``mapped`` they may stay in the file, which then must not change. Raises
    ``RefError`` for a text that names nothing and ``EncoderError`` when the weights did not load or
    a size does not fit.
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
    return registry.encoders.call(scheme.scheme, ref, lambda: scheme.load(ref, device))


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


def load_untrained(ref: str | EncoderRef, *, seed: int = 0, device: str = "cpu") -> Encoder:
    """The architecture that ``ref`` names with fresh weights: the control of every score."""
    ref = EncoderRef.parse(ref) if isinstance(ref, str) else ref
    registry = installed()
    scheme = registry.encoder_scheme(ref)
    untrained = scheme.untrained
    if untrained is None:
        raise EncoderError(f"'{ref}': the scheme '{ref.scheme}' offers no untrained copy.")
    read_options(dict(ref.options), scheme.options, f"'{ref}'")
    return registry.encoders.call(scheme.scheme, ref, lambda: untrained(ref, seed, device))


def load_dataset(ref: str | DataRef | Dataset, *, registry: Registry | None = None) -> Dataset:
    """The data set that ``ref`` names. Raises ``RefError`` or ``DataError``."""
    if isinstance(ref, Dataset):
        return ref
    ref = DataRef.parse(ref) if isinstance(ref, str) else ref
    registry = registry or installed()
    scheme = registry.dataset_scheme(ref)
    read_options(dict(ref.options), scheme.options, f"'{ref}'")
    return registry.datasets.call(scheme.scheme, ref, lambda: scheme.open(ref))

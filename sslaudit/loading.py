"""From text to encoder and data set, through the plugins."""

import os
from dataclasses import fields, replace
from typing import TypeVar

from torch import nn

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder, LoadAudit, Override, Preprocess, embedding_dim, from_module
from sslaudit.errors import EncoderError, UsageError
from sslaudit.named import check_digest, expand
from sslaudit.refs import DataRef, EncoderRef, Ref
from sslaudit.registry import Registry, installed
from sslaudit.specs import LARGEST_SEED, read_options

R = TypeVar("R", bound=Ref)
AnyPath = os.PathLike[str]

_SETTLED = {"preprocessing:": {"mean", "std"}, "input size:": {"size"}}
"""How an assumption begins that is none any more when the user gives all of these."""


def load_encoder(
    ref: str | AnyPath | EncoderRef | nn.Module | Encoder,
    *,
    device: str = "cpu",
    preprocess: Preprocess | None = None,
    override: Override | None = None,
    registry: Registry | None = None,
    mapped: bool = False,
) -> Encoder:
    """The encoder that ``ref`` names, in eval mode on ``device``; a ``Path`` is a file or folder.

    A text may be a short name (``dinov2-small``, see ``sslaudit list models``).
    A module of yours needs ``preprocess``, since nothing else says how its inputs are made.
    ``override`` wins over the preprocessing that the encoder brings. The weights lie in memory of
    their own; with ``mapped`` they may stay in the file, which then must not change. Raises
    ``RefError`` for a text that names nothing and ``EncoderError`` when the weights did not load, are
    not those of the short name, or a size does not fit.
    """
    encoder = _load(ref, device, preprocess, registry)
    if not isinstance(ref, nn.Module | Encoder) and not mapped:
        _take_in(encoder)
    return encoder if override is None else _overridden(encoder, override, device)


def _load(
    ref: str | AnyPath | EncoderRef | nn.Module | Encoder,
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
    ref = _read_encoder(ref, "an encoder is a reference, a path, a module or an Encoder")
    if preprocess is not None:
        raise UsageError("preprocess= goes with a module; a reference brings its own.")
    registry = registry or installed()
    scheme = registry.encoder_scheme(ref)
    read_options(dict(ref.options), scheme.options, f"'{ref}'")
    encoder = registry.encoders.call(scheme.scheme, ref, lambda: scheme.load(ref, device))
    check_digest(ref, encoder.digest)
    return encoder


def _read_encoder(ref: str | AnyPath | EncoderRef, taken: str) -> EncoderRef:
    """``ref`` as a reference, a short name as what it stands for. Raises ``UsageError``."""
    read = _read(ref, EncoderRef, "file", taken)
    return EncoderRef.parse(expand(str(read))) if read.scheme in ("", "untrained") else read


def _read(ref: str | AnyPath | R, kind: type[R], scheme: str, taken: str) -> R:
    """``ref`` as a reference; a path stays one, whatever it looks like. Raises ``UsageError``."""
    if isinstance(ref, kind):
        return ref
    if isinstance(ref, str):
        return kind.parse(ref)
    if isinstance(ref, os.PathLike):
        return kind(scheme, os.fsdecode(ref))
    shown = " ".join(repr(ref).split())
    raise UsageError(f"{taken}, not {shown if len(shown) <= 60 else type(ref).__name__}.")


def _take_in(encoder: Encoder) -> None:
    """Copies weights out of a memory-mapped file: one that is written anew would end the process.

    A tied parameter is one tensor and stays one.
    """
    modules = (part for part in (encoder.module, encoder.project) if isinstance(part, nn.Module))
    for tensor in (t for module in modules for t in (*module.parameters(), *module.buffers())):
        if tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()


def _overridden(encoder: Encoder, override: Override, device: str) -> Encoder:
    """``encoder`` with other preprocessing, tried on one image when its size changes."""
    own, preprocess = encoder.preprocess, override.apply(encoder.preprocess)
    encoder = replace(encoder, load=_settled(encoder.load, override))
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


def _settled(load: LoadAudit, override: Override) -> LoadAudit:
    """``load`` without the assumptions about what the user gave."""
    given = {field.name for field in fields(override) if getattr(override, field.name) is not None}
    settled = tuple(begin for begin, needed in _SETTLED.items() if needed <= given)
    kept = tuple(one for one in load.assumptions if not one.startswith(settled))
    return replace(load, assumptions=kept)


def load_untrained(ref: str | AnyPath | EncoderRef, *, seed: int = 0, device: str = "cpu") -> Encoder:
    """The architecture that ``ref`` names with fresh weights: the control of every score."""
    ref = _read_encoder(ref, "an encoder is a reference or a path")
    if not 0 <= seed <= LARGEST_SEED:
        raise UsageError(f"seed {seed} is not between 0 and {LARGEST_SEED}.")
    registry = installed()
    scheme = registry.encoder_scheme(ref)
    untrained = scheme.untrained
    if untrained is None:
        raise EncoderError(f"'{ref}': the scheme '{ref.scheme}' offers no untrained copy.")
    read_options(dict(ref.options), scheme.options, f"'{ref}'")
    return registry.encoders.call(scheme.scheme, ref, lambda: untrained(ref, seed, device))


def load_dataset(
    ref: str | AnyPath | DataRef | Dataset | object, *, registry: Registry | None = None
) -> Dataset:
    """The data set that ``ref`` names; a ``Path`` is a folder.

    Also taken are a map-style data set of yours, ``(train, test)`` or ``{"train": ..., "test": ...}``
    of two, and a ``datasets.Dataset``. Raises ``RefError``, ``UsageError`` or ``DataError``.
    """
    if isinstance(ref, Dataset):
        return ref
    if not isinstance(ref, str | os.PathLike | DataRef):
        return _from_object(ref)
    ref = _read(ref, DataRef, "folder", "data are a reference, a path or a Dataset")
    registry = registry or installed()
    scheme = registry.dataset_scheme(ref)
    read_options(dict(ref.options), scheme.options, f"'{ref}'")
    return registry.datasets.call(scheme.scheme, ref, lambda: scheme.open(ref))


def _from_object(data: object) -> Dataset:
    """The data set in an object of Python."""
    if type(data).__module__.partition(".")[0] == "datasets":
        from sslaudit.data.hf_sets import open_loaded

        return open_loaded(data, DataRef("python", type(data).__name__))
    from sslaudit.data.map_style import open_object

    return open_object(data)

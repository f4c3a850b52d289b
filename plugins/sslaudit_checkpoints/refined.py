"""Files of refined encoders: a head on top of the encoder that their header names."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from sslaudit.encoder import Encoder, LoadAudit, count_parameters, module_digest
from sslaudit.errors import EncoderError, EncoderNotFound, SslauditError, UnreadableFile, UsageError
from sslaudit.loading import load_encoder, load_untrained
from sslaudit.refs import EncoderRef
from sslaudit.registry import installed
from sslaudit.train.bases import TRUST, found_from
from sslaudit.train.refined import RefinedHeader, fresh_head, read_refined
from sslaudit_formats.opened import Opened

_HANDED_ON = TRUST | {"allow-partial"}
"""Options that are said to this file and meant for its base, which is loaded by its own reference."""

_OPEN: ContextVar[tuple[Path, ...]] = ContextVar("refined files whose base is being loaded", default=())


class _Refined(nn.Module):
    """Images (B, 3, H, W) to what ``head`` makes of the base's embedding, (B, d)."""

    def __init__(self, base: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.base = base.embed
        if base.module is not base.embed:
            self.network = base.module
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        refined: Tensor = self.head(self.base(images))
        return refined


def load(ref: EncoderRef, opened: Opened, device: str) -> Encoder:
    """The refined encoder. Raises ``EncoderError`` kinds, for its base as well."""
    header, head = _read(ref, opened)
    with _below(ref, opened, header) as found:
        base = load_encoder(found, device=device, mapped=True)
    if (base.digest, base.dim) != (header.base_digest, header.base_dim):
        raise EncoderError(
            f"'{ref.locator}' was refined on top of '{header.base}', which has changed since: its digest was "
            f"{header.base_digest[:12]}, that of '{found}' is {base.digest[:12]}.\n"
            "Bring the earlier one back, or refine again."
        )
    return _encoder(ref, header, base, head.to(device), _audit(base, head, opened.title, *opened.notes))


def untrained(ref: EncoderRef, opened: Opened, seed: int, device: str) -> Encoder:
    """The architectures of base and head with fresh weights drawn from ``seed``."""
    header, head = _read(ref, opened)
    with _below(ref, opened, header) as found:
        base = load_untrained(found.target(), seed=seed, device=device)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        head = fresh_head(header, head.state_dict()).eval()
    return _encoder(ref, header, base, head.to(device), _audit(base, head, ""))


@contextmanager
def _below(ref: EncoderRef, opened: Opened, header: RefinedHeader) -> Iterator[EncoderRef]:
    """The reference of the base, to be loaded inside; what fails there is said of both.

    Raises ``EncoderError`` kinds. A file that stands on itself is refused.
    """
    path = opened.path.resolve()
    if path in _OPEN.get():
        raise UnreadableFile(f"'{ref.locator}' is refined on top of itself; it is no encoder.")
    mark = _OPEN.set((*_OPEN.get(), path))
    try:
        base = EncoderRef.parse(header.base)
        takes = {option.name for option in installed().encoder_scheme(base.target()).options}
        given = tuple(pair for pair in ref.options if pair[0] in TRUST & takes)
        yield found_from(opened.path, base, trusted=given)
    except SslauditError as error:
        kind = type(error) if isinstance(error, EncoderError) else EncoderError
        said = f"the encoder below '{ref.locator}' cannot be had: {error}{_advice(error, header)}"
        raise kind(said) from error
    finally:
        _OPEN.reset(mark)


def _advice(error: SslauditError, header: RefinedHeader) -> str:
    """What to do when the base does not lie where the file says."""
    named = isinstance(error, EncoderNotFound) and EncoderRef.parse(header.base).target().locator
    if not named or not named.startswith(("./", "../")):
        return ""
    return f"\nThe file names it '{named}' from its own folder: bring it there, or refine again."


def _audit(base: Encoder, head: nn.Module, file: str, *notes: str) -> LoadAudit:
    """The tensors of base and head together; how the base was found in its file is told by the base."""
    tensors = len(head.state_dict())
    return LoadAudit(
        matched=base.load.matched + tensors,
        expected=base.load.expected + tensors,
        file=file,
        missing=base.load.missing,
        assumptions=tuple(dict.fromkeys((*base.load.assumptions, *notes))),
    )


def _encoder(
    ref: EncoderRef, header: RefinedHeader, base: Encoder, head: nn.Sequential, load: LoadAudit
) -> Encoder:
    whole = _Refined(base, head).eval()
    return replace(
        base,
        ref=str(ref),
        name=f"{base.name}, refined by {' + '.join(header.layers)}",
        embed=whole,
        dim=header.dim,
        digest=module_digest(head, base.digest, *header.layers),
        parameters=base.parameters + count_parameters(head),
        project=None,
        project_digest="",
        facts=_facts(header, base),
        load=load,
        module=None if base.module is None else whole,
    )


def _facts(header: RefinedHeader, base: Encoder) -> dict[str, str]:
    kept = {name: value for name, value in base.facts.items() if name != "projector"}
    for name in ("method", "weights"):  # what is said of the whole encoder is its own
        if name in kept:
            kept[f"base {name}"] = kept.pop(name)
    labels = f"labels of {header.labelled:,}"
    return {
        **kept,
        "method": header.method,
        "base": f"{header.base}, {header.base_dim}-d",
        "refined on": f"{header.data}, {header.images:,} images, {labels}",
        "refined, data digest": header.data_digest,
    }


def _read(ref: EncoderRef, opened: Opened) -> tuple[RefinedHeader, nn.Sequential]:
    for name, _ in ref.options:
        if name not in _HANDED_ON:
            raise UsageError(
                f"'{ref}': option {name} does not go with a refined encoder; its base has options of its own."
            )
    try:
        return read_refined(opened.content or {})
    except UnreadableFile as error:
        raise UnreadableFile(f"'{ref.locator}': {error}") from None

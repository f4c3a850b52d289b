"""From ``hf:...`` to an encoder: which format it is in.

What is refused is refused here, before the libraries of the formats are imported.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sslaudit.errors import EncoderError
from sslaudit.refs import EncoderRef
from sslaudit.specs import read_options
from sslaudit_hub import OPTIONS
from sslaudit_hub.layout import format_of, refuse_code, weights_of
from sslaudit_hub.repository import Repository, open_repository

if TYPE_CHECKING:
    from sslaudit.encoder import Encoder


def load(ref: EncoderRef, device: str) -> "Encoder":
    """The encoder of a repository or folder. Raises ``EncoderError`` kinds; never loads a part of it."""
    return _load(ref, device, None)


def untrained(ref: EncoderRef, seed: int, device: str) -> "Encoder":
    """The architecture of the repository with fresh weights drawn from ``seed``.

    No weights are fetched, unless only they tell the architecture.
    """
    return _load(ref, device, seed)


def _load(ref: EncoderRef, device: str, seed: int | None) -> "Encoder":
    options = read_options(dict(ref.options), OPTIONS, f"'{ref}'")
    repository = open_repository(ref.locator)
    config = repository.json("config.json")
    trust = bool(options["trust-remote-code"])
    if not trust:
        refuse_code(repository.name, config)
    repository.keep_card()
    match format_of(config):
        case "timm":
            kind = "hf-hub" if repository.revision else "local-dir"
            timm = EncoderRef("timm", f"{kind}:{ref.locator}", _given(options, "pool", "size"))
            return _through(timm, ref, device, seed)
        case "transformers":
            from sslaudit_hub import transformers_format

            return transformers_format.load(ref, repository, config, options, device, seed)
        case "plain":
            return _plain(ref, repository, options, device, seed)


def _plain(
    ref: EncoderRef, repository: Repository, options: Mapping[str, Any], device: str, seed: int | None
) -> "Encoder":
    """A checkpoint file without a config that says what it is: read as such a file is anywhere."""
    if options["pool"] is not None:
        raise EncoderError(f"'{repository.name}' holds a checkpoint without config; pool= does not apply.")
    (file,) = weights_of(repository)
    local = EncoderRef("file", str(repository.fetch(file)), _given(options, "size"))
    encoder = _through(local, ref, device, seed)
    facts = {**encoder.facts, **repository.facts(), "format": f"checkpoint ({file})"}
    return replace(encoder, facts=facts if seed is None else encoder.facts)


def _through(other: EncoderRef, ref: EncoderRef, device: str, seed: int | None) -> "Encoder":
    """What the plugin of another scheme makes of it, under the name that the user wrote."""
    from sslaudit.loading import load_encoder, load_untrained

    if seed is None:
        return replace(load_encoder(other, device=device, mapped=True), ref=str(ref))
    return replace(load_untrained(other, seed=seed, device=device), ref=str(ref))


def _given(options: Mapping[str, Any], *names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(options[name])) for name in names if options[name] is not None)

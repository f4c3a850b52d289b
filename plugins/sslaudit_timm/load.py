"""From ``timm:NAME``, or a repository in timm's format, to an encoder."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants
from timm.models import parse_model_name
from torch import nn

from sslaudit.encoder import Encoder, LoadAudit, count_parameters, embedding_dim, module_digest
from sslaudit.errors import EncoderError, SslauditError
from sslaudit.refs import EncoderRef
from sslaudit.specs import Source, read_options
from sslaudit_formats.read import read
from sslaudit_hub import timm_preprocessing
from sslaudit_hub.layout import format_of, weights_of
from sslaudit_hub.repository import Repository, open_repository
from sslaudit_hub.resolve import source
from sslaudit_hub.strict import grouped, ignored_or_refused, refuse_non_finite
from sslaudit_timm import OPTIONS
from sslaudit_timm.model import (
    build,
    check_channels,
    check_name,
    classifier_of,
    facts,
    preprocessing,
)

_FOLDER = "local-dir:"


def load(ref: EncoderRef, device: str) -> Encoder:
    """The pretrained model of ``timm:NAME``. Raises ``EncoderError`` kinds when it did not load whole."""
    options = _options(ref)
    if locator := _hub_locator(ref.locator):
        return _from_repository(ref, open_repository(locator), options, device)
    check_name(ref.locator)
    base = ref.locator.split(".")[0]
    repository = _home(ref.locator)
    if repository is None:
        url = _check_url(ref.locator)
        model, audit = _loaded(ref.locator, f"timm:{ref.locator}", base, None, options)
        return _encoder(ref, base, model, {**facts(model), "source": url}, audit, options, device)
    weights = _fetched(repository, _files(ref.locator, repository))
    model, audit = _loaded(ref.locator, f"timm:{ref.locator}", base, weights, options)
    audit = replace(audit, assumptions=(*audit.assumptions, *repository.stale()))
    return _encoder(ref, base, model, _facts(model, repository), audit, options, device)


def untrained(ref: EncoderRef, seed: int, device: str) -> Encoder:
    """The same architecture with fresh weights drawn from ``seed``; no weights are fetched."""
    options = _options(ref)
    if locator := _hub_locator(ref.locator):
        return _from_repository(ref, open_repository(locator), options, device, seed=seed)
    check_name(ref.locator)
    base = ref.locator.split(".")[0]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model, _ = build(ref.locator, f"timm:{ref.locator}", base, pretrained=False, **options)
    return _encoder(ref, base, model, {}, _fresh(model), options, device)


def resolve(ref: EncoderRef) -> Source:
    """What ``load`` would fetch; no weights are. Raises ``EncoderError`` when they cannot be had."""
    if locator := _hub_locator(ref.locator):
        repository = open_repository(locator)
        return source(repository, weights_of(repository))
    check_name(ref.locator)
    found = _home(ref.locator)
    if found is None:
        return Source(name=str(_record(ref.locator).url))
    return source(found, _files(ref.locator, found))


def _from_repository(
    ref: EncoderRef,
    repository: Repository,
    options: Mapping[str, Any],
    device: str,
    *,
    seed: int | None = None,
) -> Encoder:
    """The encoder of a repository in timm's format; with ``seed`` its untrained copy.

    Raises ``EncoderError`` kinds when it did not load whole.
    """
    config = repository.json("config.json")
    if format_of(config) != "timm" and "pretrained_cfg" not in config:
        raise EncoderError(f"'{repository.name}' is not in timm's format; write hf:{repository.name}.")
    label = f"'{repository.name}'"
    check_channels(config, label)
    architecture = str(config["architecture"])
    check_name(architecture)
    given: dict[str, Any] = {"pool": options["pool"], "size": options["size"]}
    name = f"local-dir:{repository.fetch('config.json').parent}"
    assumed = timm_preprocessing.assumed(config)
    if seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model, _ = build(name, label, architecture, pretrained=False, **given)
        audit = replace(_fresh(model), assumptions=assumed)
        return _encoder(ref, architecture, model, {}, audit, given, device)
    weights = _fetched(repository, weights_of(repository))
    model, audit = _loaded(name, label, architecture, weights, given)
    audit = replace(audit, assumptions=(*audit.assumptions, *assumed, *repository.stale()))
    return _encoder(ref, architecture, model, _facts(model, repository), audit, given, device)


def _options(ref: EncoderRef) -> dict[str, Any]:
    return dict(read_options(dict(ref.options), OPTIONS, f"'{ref}'"))


def _hub_locator(name: str) -> str:
    """``ORG/NAME@REV`` of ``hf-hub:ORG/NAME@REV``, the folder of ``local-dir:FOLDER``; empty otherwise."""
    if name.startswith(_FOLDER):  # whatever the folder is called, it is no address to take apart
        place = name.removeprefix(_FOLDER)
        return place if os.path.isabs(place) or place.startswith("~") else os.path.join(".", place)
    try:
        kind, place = parse_model_name(name)
    except ValueError as error:
        raise EncoderError(f"timm:{name}: {' '.join(str(error).split())}") from None
    return str(place) if kind == "hf-hub" else ""


def _record(name: str) -> Any:
    """timm's record of the pretrained weights of ``name``."""
    try:
        record = timm.models.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError:
        record = None
    if record is None or not record.has_weights:
        tags = timm.list_pretrained(f"{name.split('.')[0]}.*")
        hint = f" It has them for: {', '.join(tags[:3])}." if tags else ""
        raise EncoderError(f"timm has no pretrained weights for '{name}'.{hint}")
    return record


def _home(name: str) -> Repository | None:
    """The hub repository of the weights; None when timm fetches them from a URL."""
    record = _record(name)
    if not record.hf_hub_id:
        return None
    try:
        return open_repository(record.hf_hub_id)
    except SslauditError as error:
        raise type(error)(
            f"the weights of timm:{name}: {error} With a file of your own: file,arch=timm:{name}:PATH."
        ) from None


def _files(name: str, repository: Repository) -> tuple[str, ...]:
    given = _record(name).hf_hub_filename
    return (given,) if given else weights_of(repository)


def _check_url(name: str) -> str:
    """Where timm fetches from when not from the hub. Raises ``EncoderError`` when it may not."""
    url = str(_record(name).url)
    cached = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if constants.HF_HUB_OFFLINE and not cached.is_file():
        raise EncoderError(
            f"the weights of timm:{name}, from {url}, are not in the local cache ({cached.parent}) and "
            f"offline mode is on. With a file of your own: file,arch=timm:{name}:PATH."
        )
    return url


def _fetched(repository: Repository, files: tuple[str, ...]) -> Path:
    if len(files) > 1:
        raise EncoderError(
            f"'{repository.name}' keeps timm weights in {len(files) - 1} shards; timm reads one."
        )
    repository.keep_card()
    return repository.fetch(files[0])


def _loaded(
    name: str, label: str, architecture: str, weights: Path | None, options: Mapping[str, Any]
) -> tuple[nn.Module, LoadAudit]:
    """The model with its weights, and who came from where.

    Raises ``WeightsMismatch`` unless every tensor of the backbone was in the file.
    """
    # A pointer, a web page or a pickle with code is named here, before timm fails on it
    opened = read(str(weights)) if weights else None
    stored = (opened.content or {}) if opened else {}
    model, loading = build(name, label, architecture, pretrained=True, weights=weights, **options)
    if opened:
        opened.verify()
    if not loading.expected:  # a reader of timm's own, for weights of other frameworks
        note = "timm's own reader of foreign weights copied them; names were not compared"
        return model, replace(_fresh(model), assumptions=(note,))
    what = label.strip("'")
    ignored = ignored_or_refused(
        what,
        architecture,
        expected=loading.expected,
        missing=loading.missing,
        unexpected=loading.unexpected,
        reshaped=loading.reshaped,
    )
    refuse_non_finite(what, model)
    # timm drops the classifier before it loads
    layers = tuple(f"{layer}." for layer in classifier_of(model))
    removed = grouped(key for key in stored if key.startswith(layers) and key not in loading.given)
    tensors = len(loading.expected)
    file = opened.title if opened else ""
    return model, LoadAudit(matched=tensors, expected=tensors, ignored=(*removed, *ignored), file=file)


def _fresh(model: nn.Module) -> LoadAudit:
    tensors = len(model.state_dict())
    return LoadAudit(matched=tensors, expected=tensors)


def _facts(model: nn.Module, repository: Repository) -> dict[str, str]:
    return {**facts(model), **repository.facts(), "format": "timm"}


def _encoder(
    ref: EncoderRef,
    architecture: str,
    model: nn.Module,
    known: dict[str, str],
    audit: LoadAudit,
    options: Mapping[str, Any],
    device: str,
) -> Encoder:
    preprocess = preprocessing(model, size=options["size"])
    in_repository = bool(_hub_locator(ref.locator))
    if in_repository:
        preprocess = replace(preprocess, source="config.json")
    model = model.to(device)
    return Encoder(
        ref=str(ref),
        name=architecture if in_repository else ref.locator,
        embed=model,
        dim=embedding_dim(model, preprocess, device),
        preprocess=preprocess,
        digest=module_digest(model, "timm", architecture, str(options["pool"])),
        parameters=count_parameters(model),
        facts=known,
        load=audit,
        module=model,
    )

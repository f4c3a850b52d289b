"""From ``timm:NAME`` to an encoder."""

import torch
from torch import nn

from sslaudit.encoder import Encoder, LoadAudit, count_parameters, embedding_dim, module_digest
from sslaudit.refs import EncoderRef
from sslaudit.specs import read_options
from sslaudit_timm import OPTIONS
from sslaudit_timm.model import build, facts, preprocessing


def load(ref: EncoderRef, device: str) -> Encoder:
    """The pretrained model. Raises ``EncoderError`` kinds of ``sslaudit_timm.model.build``."""
    model = build(ref.locator, pretrained=True, **_options(ref))
    return _encoder(ref, model, facts(model), device)


def untrained(ref: EncoderRef, seed: int, device: str) -> Encoder:
    """The same architecture with fresh weights drawn from ``seed``; nothing is fetched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = build(ref.locator, pretrained=False, **_options(ref))
    return _encoder(ref, model, {}, device)


def _options(ref: EncoderRef) -> dict[str, object]:
    return read_options(dict(ref.options), OPTIONS, f"'{ref}'")


def _encoder(ref: EncoderRef, model: nn.Module, known: dict[str, str], device: str) -> Encoder:
    options = _options(ref)
    preprocess = preprocessing(model, size=options["size"])
    model = model.to(device)
    tensors = len(model.state_dict())
    return Encoder(
        ref=str(ref),
        name=ref.locator,
        embed=model,
        dim=embedding_dim(model, preprocess, device),
        preprocess=preprocess,
        digest=module_digest(model, "timm", ref.locator.split(".")[0], str(options["pool"])),
        parameters=count_parameters(model),
        facts=known,
        load=LoadAudit(matched=tensors, expected=tensors),
        module=model,
    )

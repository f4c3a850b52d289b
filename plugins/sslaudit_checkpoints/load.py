"""From a checkpoint file to an encoder, strictly."""

from dataclasses import replace

from torch import nn

from sslaudit.encoder import Encoder, LoadAudit, count_parameters, embedding_dim, module_digest
from sslaudit.errors import EncoderError
from sslaudit.refs import EncoderRef
from sslaudit_checkpoints import graphs, projector
from sslaudit_checkpoints.audit import audit, facts_of
from sslaudit_checkpoints.formats.opened import Opened
from sslaudit_checkpoints.formats.read import read
from sslaudit_checkpoints.materialise import checked, fresh, network
from sslaudit_checkpoints.options import Options
from sslaudit_checkpoints.preprocessing import preprocess_of
from sslaudit_checkpoints.search import Found, search


def load(ref: EncoderRef, device: str) -> Encoder:
    """The encoder in the file.

    Raises ``EncoderError`` kinds. A part of the weights is loaded only with ``allow-partial``, and
    then ``LoadAudit.missing`` names the rest.
    """
    options, opened = _open(ref)
    if opened.kind != "tensors":
        return graphs.load(ref, opened, options, device)
    found = search(ref, opened, options)
    fit, architecture = found.fit, found.fit.reading.architecture
    weights = checked(fit.weights(), fit.skeleton.state_dict(), ref.locator)
    if fit.match.complete:
        model = network(architecture, fit.skeleton, weights)
    else:
        model = fresh(architecture, seed=0)
        model.load_state_dict({**model.state_dict(), **weights})
    return _encoder(ref, found, options, model, audit(found, opened), device)


def untrained(ref: EncoderRef, seed: int, device: str) -> Encoder:
    """The architecture of the file with fresh weights drawn from ``seed``."""
    options, opened = _open(ref)
    if opened.kind != "tensors":
        raise EncoderError(f"'{ref.locator}' is a {opened.format}: it has no untrained copy.")
    found = search(ref, opened, options)
    model = fresh(found.fit.reading.architecture, seed)
    tensors = len(model.state_dict())
    control = LoadAudit(matched=tensors, expected=tensors, assumptions=found.assumptions)
    return _encoder(ref, found, options, model, control, device)


def _open(ref: EncoderRef) -> tuple[Options, Opened]:
    options = Options.of(ref)
    return options, read(ref.locator, trust_pickle=options.trust_pickle)


def _encoder(
    ref: EncoderRef, found: Found, options: Options, model: nn.Module, load: LoadAudit, device: str
) -> Encoder:
    model = model.eval().to(device)
    architecture = found.fit.reading.architecture
    preprocess, said = preprocess_of(architecture, found.project, options, found.flat)
    dim = embedding_dim(model, preprocess, device)
    head = projector.find(found.flat, found.fit, dim, gelu=found.is_dino) if load.file else None
    return Encoder(
        ref=str(ref),
        name=architecture.name,
        embed=model,
        dim=dim,
        preprocess=preprocess,
        digest=module_digest(model, architecture.name, *(f"{k}={v}" for k, v in architecture.facts.items())),
        parameters=count_parameters(model),
        project=None if head is None else head.module.to(device),
        facts=facts_of(found, options, head),
        load=replace(load, assumptions=(*load.assumptions, *architecture.assumptions, *said)),
        module=model,
    )

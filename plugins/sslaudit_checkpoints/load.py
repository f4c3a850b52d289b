"""From a checkpoint file to an encoder, strictly."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from sslaudit.encoder import Encoder, LoadAudit, Preprocess, count_parameters, embedding_dim, module_digest
from sslaudit.errors import EncoderError
from sslaudit.refs import EncoderRef
from sslaudit.train.refined import is_refined
from sslaudit_checkpoints import graphs, projector, refined
from sslaudit_checkpoints.audit import audit, facts_of
from sslaudit_checkpoints.materialise import as_float, fresh, network, refuse_impossible
from sslaudit_checkpoints.options import Options
from sslaudit_checkpoints.preprocessing import preprocess_of
from sslaudit_checkpoints.search import Found, search
from sslaudit_formats.mapped import MappedFile
from sslaudit_formats.opened import Opened
from sslaudit_formats.read import read


def load(ref: EncoderRef, device: str) -> Encoder:
    """The encoder in the file.

    Raises ``EncoderError`` kinds. A part of the weights is loaded only with ``allow-partial``, and
    then ``LoadAudit.missing`` names the rest.
    """
    options, opened = _open(ref)
    try:
        encoder = _loaded(ref, opened, options, device)
    finally:
        opened.verify()  # a damaged file explains whatever else went wrong
    return encoder


def _loaded(ref: EncoderRef, opened: Opened, options: Options, device: str) -> Encoder:
    if opened.kind != "tensors":
        return graphs.load(ref, opened, options, device)
    if is_refined(opened.content or {}):
        return refined.load(ref, opened, device)
    found = search(ref, opened, options)
    fit, architecture = found.fit, found.fit.reading.architecture
    weights = as_float(fit.weights(), fit.skeleton.state_dict(), ref.locator)
    file = MappedFile(opened.path)

    def looked_at(name: str, tensor: Tensor) -> None:
        refuse_impossible(name, tensor, ref.locator)
        file.give_back(tensor)

    def make() -> nn.Module:
        if fit.match.complete:
            return network(architecture, fit.skeleton, weights)
        model = fresh(architecture, seed=0)
        model.load_state_dict({**model.state_dict(), **weights})
        return model

    return _encoder(ref, found, options, make, audit(found, opened), device, done=looked_at)


def untrained(ref: EncoderRef, seed: int, device: str) -> Encoder:
    """The architecture of the file with fresh weights drawn from ``seed``."""
    options, opened = _open(ref)
    if opened.kind != "tensors":
        raise EncoderError(
            f"'{ref.locator}' ({opened.format}) has no untrained copy: its weights are part of a program."
        )
    if is_refined(opened.content or {}):
        return refined.untrained(ref, opened, seed, device)
    found = search(ref, opened, options)
    architecture = found.fit.reading.architecture
    tensors = len(found.fit.skeleton.state_dict())
    control = LoadAudit(matched=tensors, expected=tensors, assumptions=found.assumptions)
    return _encoder(ref, found, options, lambda: fresh(architecture, seed), control, device)


def _open(ref: EncoderRef) -> tuple[Options, Opened]:
    options = Options.of(ref)
    return options, read(ref.locator, trust_pickle=options.trust_pickle)


def _encoder(
    ref: EncoderRef,
    found: Found,
    options: Options,
    make: Callable[[], nn.Module],
    load: LoadAudit,
    device: str,
    *,
    done: Callable[[str, Tensor], None] = lambda name, tensor: None,
) -> Encoder:
    architecture = found.fit.reading.architecture
    preprocess, said = preprocess_of(architecture, found.project, options, found.flat)
    dim = _dim_on_paper(found.fit.skeleton, preprocess)
    model = make().eval()
    digest = module_digest(
        model, architecture.name, *(f"{k}={v}" for k, v in architecture.facts.items()), done=done
    )
    model = model.to(device)
    dim = dim or embedding_dim(model, preprocess, device)
    head = projector.find(found.flat, found.fit, dim, gelu=found.is_dino) if load.file else None
    return Encoder(
        ref=str(ref),
        name=architecture.name,
        embed=model,
        dim=dim,
        preprocess=preprocess,
        digest=digest,
        parameters=count_parameters(model),
        project=None if head is None else head.module.to(device),
        project_digest="" if head is None else module_digest(head.module, repr(head.module)),
        facts=facts_of(found, options, head),
        load=replace(load, assumptions=(*load.assumptions, *architecture.assumptions, *said)),
        module=model,
    )


def _dim_on_paper(skeleton: nn.Module, preprocess: Preprocess) -> int | None:
    """D without reading weights: timm's record, else from shapes; None for a network that has neither."""
    if isinstance(dim := getattr(skeleton, "head_hidden_size", None), int):
        return dim
    try:
        return embedding_dim(skeleton.eval(), preprocess, "meta")
    except EncoderError:
        raise
    except Exception:  # an operation without shape inference, or a size that does not fit
        return None

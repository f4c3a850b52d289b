"""From a checkpoint file to an encoder, strictly."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sslaudit.encoder import (
    Encoder,
    LoadAudit,
    Preprocess,
    count_parameters,
    embedding_dim,
    module_digest,
)
from sslaudit.errors import UnreadableFile, WeightsMismatch
from sslaudit.refs import EncoderRef
from sslaudit.specs import OptionValue, read_options
from sslaudit.train.backbones import build_backbone
from sslaudit.train.checkpoint import Header, is_checkpoint, read_checkpoint
from sslaudit_checkpoints import METHODS, OPTIONS
from sslaudit_checkpoints.architectures import Architecture, inferable, named
from sslaudit_checkpoints.containers import StateDict, branches, select
from sslaudit_checkpoints.files import read
from sslaudit_checkpoints.match import Match, groups, match_all


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """What the file turned out to hold."""

    build: Callable[[], nn.Module]
    name: str
    state: StateDict
    match: Match
    preprocess: Preprocess | Callable[[nn.Module], Preprocess]
    facts: dict[str, str]
    assumptions: tuple[str, ...] = ()


def load(ref: EncoderRef, device: str) -> Encoder:
    """The encoder in the file. Raises ``EncoderError`` kinds; never loads a part of the weights."""
    plan = _plan(ref)
    model = plan.build()
    wanted = model.state_dict()
    weights = {name: plan.state[plan.match.prefix + name] for name in plan.match.matched}
    _refuse_non_finite(weights, ref)
    model.load_state_dict({**wanted, **weights})
    stored = {t.dtype for t in weights.values() if t.is_floating_point()} - {torch.float32}
    notes = tuple(
        f"weights stored as {str(d).removeprefix('torch.')}, computed in float32"
        for d in sorted(stored, key=str)
    )
    audit = LoadAudit(
        matched=len(plan.match.matched),
        expected=plan.match.expected,
        prefix=plan.match.prefix,
        ignored=groups(plan.match),
        assumptions=(*plan.assumptions, *notes),
    )
    return _encoder(ref, plan, model, audit, device)


def untrained(ref: EncoderRef, seed: int, device: str) -> Encoder:
    """The architecture of the file with fresh weights drawn from ``seed``."""
    plan = _plan(ref)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = plan.build()
    tensors = len(model.state_dict())
    return _encoder(ref, plan, model, LoadAudit(matched=tensors, expected=tensors), device)


def _encoder(ref: EncoderRef, plan: _Plan, model: nn.Module, audit: LoadAudit, device: str) -> Encoder:
    model = model.eval().to(device)
    preprocess = plan.preprocess if isinstance(plan.preprocess, Preprocess) else plan.preprocess(model)
    if size := _options(ref)["size"]:
        preprocess = replace(
            preprocess, size=(int(size), int(size)), source=f"{preprocess.source}, size given"
        )
    facts = {**plan.facts, "source": "local file"}
    if ref.scheme in METHODS:
        facts.setdefault("method", ref.scheme)
    return Encoder(
        ref=str(ref),
        name=plan.name,
        embed=model,
        dim=embedding_dim(model, preprocess, device),
        preprocess=preprocess,
        digest=module_digest(model, plan.name),
        parameters=count_parameters(model),
        facts=facts,
        load=audit,
        module=model,
    )


def _plan(ref: EncoderRef) -> _Plan:
    content = read(ref.locator)
    if is_checkpoint(content):
        return _own(ref, content)
    options = _options(ref)
    parts = select(branches(content), _text(options["key"]), ref.locator)
    candidates = named(str(options["arch"])) if options["arch"] else inferable()
    fits, best = _fits(parts, candidates, _text(options["prefix"]))
    if not fits:
        raise _unmatched(ref, best)
    if len(fits) > 1:
        raise _ambiguous(ref, fits)
    return fits[0]


def _own(ref: EncoderRef, content: Any) -> _Plan:
    """The plan of a checkpoint of sslaudit's own trainers: its header says everything."""
    try:
        header, backbone, projector = read_checkpoint(content)
    except UnreadableFile as error:
        raise UnreadableFile(f"'{ref.locator}': {error}") from None
    shapes = {name: tensor.shape for name, tensor in build_backbone(header.backbone).state_dict().items()}
    match = match_all({name: tensor.shape for name, tensor in backbone.items()}, shapes, prefix="")[0]
    if not match.complete:
        raise _mismatch(ref, f"{header.backbone}, which the header names", match)
    ignored = tuple(f"projector.{name}" for name in projector or ())
    return _Plan(
        build=lambda: build_backbone(header.backbone),
        name=header.backbone,
        state=backbone,
        match=replace(match, unexpected=(*match.unexpected, *ignored)),
        preprocess=header.preprocessing(),
        facts=_facts(header),
    )


def _facts(header: Header) -> dict[str, str]:
    return {
        "method": header.method,
        "recipe": header.recipe,
        "epochs": str(header.epochs),
        "trained on": f"{header.data}, {header.images} images",
        "training data digest": header.data_digest,
    }


def _fits(
    parts: dict[str, StateDict], candidates: list[Architecture], prefix: str | None
) -> tuple[list[_Plan], tuple[Architecture, Match] | None]:
    """Every complete match of the first architecture that has one, and the fullest incomplete one."""
    fits: list[_Plan] = []
    best: tuple[Architecture, Match] | None = None
    for architecture in candidates:
        skeleton = architecture.skeleton()
        shapes = {name: tensor.shape for name, tensor in skeleton.state_dict().items()}
        for key, state in parts.items():
            renamed = architecture.rename(state, skeleton) if architecture.rename else state
            for match in match_all({n: t.shape for n, t in renamed.items()}, shapes, prefix):
                if match.complete:
                    fits.append(_fit(architecture, key, renamed, match))
                elif best is None or _share(match) > _share(best[1]):
                    best = (architecture, match)
        if fits:
            break  # a complete match without surplus fits no other architecture
    return fits, best


def _fit(architecture: Architecture, key: str, state: StateDict, match: Match) -> _Plan:
    return _Plan(
        build=architecture.build,
        name=architecture.name,
        state=state,
        match=match,
        preprocess=architecture.preprocess,
        facts={"part of the file": key} if key else {},
        assumptions=architecture.assumptions,
    )


def _share(match: Match) -> tuple[float, int]:
    return len(match.matched) / match.expected, -match.expected


def _unmatched(ref: EncoderRef, best: tuple[Architecture, Match] | None) -> WeightsMismatch:
    if best is None:
        return WeightsMismatch(f"'{ref.locator}' holds no tensors by name.")
    error = _mismatch(ref, best[0].name, best[1])
    hint = f"Name the architecture or the prefix: file,arch=timm:NAME,prefix=encoder:{ref.locator}"
    return WeightsMismatch(f"{error}\n{hint}")


def _mismatch(ref: EncoderRef, name: str, match: Match) -> WeightsMismatch:
    lines = [
        f"the weights of '{ref.locator}' did not load: "
        f"matched {len(match.matched)} of {match.expected} tensors of {name}"
        + (f" after removing '{match.prefix}'." if match.prefix else ".")
    ]
    parts = (
        ("missing", match.missing),
        ("other shape", match.reshaped),
        ("too many", match.surplus),
        ("in the file", match.unexpected),
    )
    for what, names in parts:
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            lines.append(f"  {what}: {', '.join(names[:3])}{more}")
    return WeightsMismatch("\n".join(lines))


def _ambiguous(ref: EncoderRef, fits: list[_Plan]) -> WeightsMismatch:
    lines = [f"'{ref.locator}' holds more than one complete backbone; name one:"]
    for fit in fits:
        key = f",key={fit.facts['part of the file']}" if "part of the file" in fit.facts else ""
        prefix = f",prefix={fit.match.prefix.rstrip('.')}" if fit.match.prefix else ""
        lines.append(f"  {fit.name}: {ref.scheme}{key}{prefix}:{ref.locator}")
    return WeightsMismatch("\n".join(lines))


def _refuse_non_finite(weights: dict[str, Tensor], ref: EncoderRef) -> None:
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsMismatch(f"'{ref.locator}': the weights '{name}' hold NaN or infinity.")


def _options(ref: EncoderRef) -> dict[str, OptionValue | None]:
    return read_options(dict(ref.options), OPTIONS, f"'{ref}'")


def _text(value: OptionValue | None) -> str | None:
    return None if value is None else str(value)

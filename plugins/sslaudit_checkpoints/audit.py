"""The load audit of a checkpoint file: what was taken, by which rules, and what was left."""

from collections.abc import Iterator

import torch

from sslaudit.encoder import LoadAudit
from sslaudit_checkpoints.options import Options
from sslaudit_checkpoints.projector import Projector
from sslaudit_checkpoints.search import Found
from sslaudit_checkpoints.tensors import WRAPPERS, counted, unwrapped
from sslaudit_formats.opened import Opened


def audit(found: Found, opened: Opened) -> LoadAudit:
    """How the weights came from the file into the architecture."""
    fit = found.fit
    return LoadAudit(
        matched=len(fit.match.matched),
        expected=fit.match.expected,
        file=opened.title,
        branch=fit.branch,
        others=found.others,
        prefix=fit.origin.removeprefix(fit.branch).lstrip("."),
        renamed=(*_wrappers(found), *fit.reading.renamed),
        missing=fit.match.absent,
        ignored=(*counted(_left(found)), *_optimizers(found, opened)),
        assumptions=(*found.assumptions, *_types(found), *opened.notes),
    )


def facts_of(found: Found, options: Options, head: Projector | None) -> dict[str, str]:
    """What a reader may ask about the encoder."""
    facts = {"source": "local file", **found.fit.reading.architecture.facts, **found.facts}
    if found.project is not None:
        facts["layout"] = f"{found.project.title} ({found.project.source})"
    if method := (found.project.method if found.project else "") or options.method:
        facts["method"] = method
    if head is not None:
        facts["projector"] = f"{head.path}; {head.assumption} assumed"
    return {name: value for name, value in facts.items() if value}


def _wrappers(found: Found) -> Iterator[str]:
    """Wrapper segments that stood inside the names, behind the prefix."""
    origin = found.fit.origin
    inside = {
        part
        for name, one in found.flat.items()
        if name.startswith(found.fit.prefix) and one.path.startswith(origin)
        for part in one.path[len(origin) :].split(".")
        if part in WRAPPERS
    }
    for part in sorted(inside):
        yield f"the wrapper '{part}' is taken out of the names"


def _left(found: Found) -> Iterator[str]:
    """For each tensor outside every complete backbone, the part of the file that it belongs to."""
    fit = found.fit
    rivals = tuple(rival.prefix for rival in found.rivals if rival.prefix)
    inside = fit.prefix.removeprefix(fit.branch).lstrip(".")
    for name in fit.match.unexpected:
        yield _part(inside + name, inside)
    for name, one in found.flat.items():
        if name.startswith((fit.prefix, *rivals)):
            continue
        if one.branch != fit.branch and one.branch:
            part = unwrapped(one.name).split(".")[0]
            yield one.branch if part.isdigit() else f"{one.branch}.{part}"
        else:
            yield _part(unwrapped(one.name), inside)


def _part(name: str, prefix: str) -> str:
    """The first segments of ``name``, up to the one in which it leaves ``prefix``."""
    segments, along = name.split("."), prefix.split(".")
    shared = next(
        (i for i, (a, b) in enumerate(zip(segments, along, strict=False)) if a != b), len(along) - 1
    )
    return ".".join(segments[: shared + 1])


def _optimizers(found: Found, opened: Opened) -> Iterator[str]:
    for key in opened.content or ():
        if isinstance(key, str) and key.lower().startswith("optim") and not _has_tensors(found, key):
            yield key


def _has_tensors(found: Found, key: str) -> bool:
    return any(one.path.startswith(f"{key}.") for one in found.flat.values())


def _types(found: Found) -> Iterator[str]:
    stored = {t.dtype for t in found.fit.weights().values() if t.is_floating_point()} - {torch.float32}
    for dtype in sorted(stored, key=str):
        yield f"weights stored as {str(dtype).removeprefix('torch.')}, computed in float32"

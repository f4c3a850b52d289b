"""Looks for the backbone that a file holds, and says why when there is none."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sslaudit.errors import WeightsMismatch
from sslaudit.refs import EncoderRef
from sslaudit.train.checkpoint import is_checkpoint
from sslaudit_checkpoints import own, refusal
from sslaudit_checkpoints.architectures import DIALECTS, stated
from sslaudit_checkpoints.architectures.base import Hints, Unfit
from sslaudit_checkpoints.fits import Fit, by_key, by_prefix, choose, find, fullest, option_of
from sslaudit_checkpoints.match import match
from sslaudit_checkpoints.options import Options
from sslaudit_checkpoints.project import Project
from sslaudit_checkpoints.projects import recognise
from sslaudit_checkpoints.tensors import Stored, branches, flatten, keys
from sslaudit_formats.opened import Opened

_HELPER = re.compile(r"loss|perceptual|lpips|critic|discriminator", re.IGNORECASE)
_LARGE = 10
"""Tensors outside the backbone that make up a network of their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What the file turned out to hold."""

    flat: dict[str, Stored]
    """All its tensors."""
    fit: Fit
    """The backbone that was taken."""
    rivals: tuple[Fit, ...] = ()
    """Other complete backbones, copies of the taken one among them."""
    others: tuple[str, ...] = ()
    """The rivals that differ, each with the option that takes it."""
    project: Project | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the file tells of the training."""
    assumptions: tuple[str, ...] = ()

    @property
    def is_dino(self) -> bool:
        """Whether the file has DINO's layout, whose head has GELUs."""
        return self.project is not None and self.project.method == "dino"


def search(ref: EncoderRef, opened: Opened, options: Options) -> Found:
    """The backbone that the file holds, or that the options name among several.

    Raises ``WeightsMismatch`` when there is none, when it is not whole, and when nothing tells which of
    several is meant; ``UnreadableFile`` for a bad header of our own, ``RefError`` for an unknown ``arch=``.
    """
    content: Mapping[str, object] = opened.content or {}
    if is_checkpoint(content):
        fit, facts = own.fit(ref, content)
        return Found(flat=flatten(own.encoder_of(content)), fit=fit, facts=facts)
    flat = flatten(content)
    if any(name.endswith("_flat_param") for name in flat):
        raise refusal.flattened(ref.locator)
    if not flat:
        raise WeightsMismatch(f"'{ref.locator}' holds no tensors by name.")
    project = recognise([one.path for one in flat.values()] + list(keys(content)))
    if project is not None and project.refusal and options.key is None and options.prefix is None:
        raise WeightsMismatch(f"'{ref.locator}': {project.refusal}")
    hints = options.hints(
        project.name if project else "",
        heads=stated.number_in_file(content, "num_heads"),
        max_pool=stated.flag_in_file(content, "maxpool1"),  # Lightning Bolts chooses it apart from the stem
    )
    fits, unfit = _fits(flat, options, hints)
    if options.key is not None:
        chosen = by_key(fits, options.key)
        if not chosen and not _has_part(flat, options.key):
            parts = dict.fromkeys([*branches(flat.values()), *(fit.address for fit in fits)])
            raise refusal.no_such_part(ref.locator, options.key, parts)
        fits = chosen
    if options.prefix is not None:
        chosen = by_prefix(fits, options.prefix)
        if fits and not chosen:
            raise refusal.no_such_prefix(ref.locator, options.prefix, fits)
        fits = chosen
    complete = [fit for fit in fits if fit.match.complete]
    if not complete:
        fit = _partial(ref, fits, unfit, flat, options, content)
        return Found(flat=flat, fit=fit, project=project)
    taken, distinct = choose(complete, project.branch if project else None)
    if taken is None:
        raise refusal.ambiguous(ref, distinct)
    _refuse_damaged_choice(ref, fits, complete, project)
    taken, said = _believed(ref, taken, options, content, flat, hints)
    _refuse_unknown_depth(ref, taken, options)
    if options.key is None and options.prefix is None:
        _refuse_helpers(ref, taken, flat)
    others = tuple(
        f"{fit.address or 'the top'} ({option_of(fit, distinct)})" for fit in distinct if fit is not taken
    )
    said = (*said, *_notes(project, options))
    return Found(
        flat=flat,
        fit=taken,
        rivals=tuple(fit for fit in complete if fit is not taken),
        others=others,
        project=project,
        assumptions=said,
    )


def _notes(project: Project | None, options: Options) -> Iterator[str]:
    if project is None:
        return
    if project.note:
        yield project.note
    if options.method and project.method and options.method != project.method:
        layout = f"the file has the layout of {project.title}"
        yield f"the scheme says {options.method}, {layout}: the layout is believed"


def _fits(flat: Mapping[str, Stored], options: Options, hints: Hints) -> tuple[list[Fit], list[Unfit]]:
    dialects = DIALECTS
    if options.arch is not None:
        stated.check(options.arch)
        if (architecture := stated.of_library(options.arch)) is not None:
            dialects = stated.dialects(architecture, DIALECTS)
    return find(flat, dialects, hints)


def _partial(
    ref: EncoderRef,
    fits: list[Fit],
    unfit: list[Unfit],
    flat: Mapping[str, Stored],
    options: Options,
    content: Mapping[str, object],
) -> Fit:
    """The fullest incomplete reading when a part is allowed; otherwise raises why nothing fits."""
    best = fullest(fits)
    if best is None and unfit:
        raise WeightsMismatch(f"the weights of '{ref.locator}' did not load: {unfit[0]}")
    if best is None:
        raise _unrecognised(ref, flat, options.arch or stated.in_file(content))
    if options.arch and ":" not in options.arch and options.arch != _base(best):
        raise _misstated(ref, best, options.arch)
    if options.allow_partial and best.match.matched and not best.match.surplus:
        return best
    raise refusal.mismatch(
        ref.locator,
        best.reading.architecture.name,
        best.match,
        prefix=best.origin.removeprefix(best.branch).lstrip("."),
        hint=refusal.partly(ref.locator),
    )


def _unrecognised(ref: EncoderRef, flat: Mapping[str, Stored], arch: str | None) -> WeightsMismatch:
    """No name is that of a known backbone: counted against the architecture that somebody states."""
    architecture = stated.skeleton_of(arch) if arch else None
    if architecture is None:
        return refusal.unknown(ref.locator, {one.path: one.tensor for one in flat.values()})
    state = {one.name: one.tensor for one in flat.values()}
    return refusal.mismatch(
        ref.locator,
        architecture.name,
        match(state, architecture.skeleton().state_dict()),
        hint=refusal.hint(ref.locator),
    )


def _believed(
    ref: EncoderRef,
    fit: Fit,
    options: Options,
    content: Mapping[str, object],
    flat: Mapping[str, Stored],
    hints: Hints,
) -> tuple[Fit, tuple[str, ...]]:
    """The fit under the architecture that somebody states, or what contradicts the statement.

    The tensors win: a statement of the user that they do not bear out is refused, one of the file is
    a note. A timm name in the file decides between nets of equal shapes.
    """
    name, base = fit.reading.architecture.name, _base(fit)
    if options.arch:
        if ":" not in options.arch and options.arch != base:
            raise _misstated(ref, fit, options.arch)
        return fit, ()
    said = stated.in_file(content)
    if said is None or said == base or name == f"timm:{said}":
        return fit, ()
    known = stated.named(said) is not None
    if not known and stated.is_timm(said):
        for other in _as(f"timm:{said}", flat, hints):
            if other.match.complete and other.prefix == fit.prefix:
                return other, (f"architecture timm:{said}, as the file says",)
        known = True
    return fit, (f"the file says {said}, its tensors fit {name}: the tensors are believed",) if known else ()


def _base(fit: Fit) -> str:
    """The name of the architecture as ``arch=`` states it, without its stem."""
    return fit.reading.architecture.name.split(",")[0]


def _as(arch: str, flat: Mapping[str, Stored], hints: Hints) -> list[Fit]:
    architecture = stated.of_library(arch)
    assert architecture is not None
    return find(flat, stated.dialects(architecture, DIALECTS), hints)[0]


def _misstated(ref: EncoderRef, fit: Fit, arch: str) -> WeightsMismatch:
    wanted = stated.skeleton_of(arch)
    assert wanted is not None
    name = fit.reading.architecture.name
    return refusal.mismatch(
        ref.locator,
        arch,
        match(fit.reading.state, wanted.skeleton().state_dict()),
        hint=f"The tensors fit {name}: write arch={_base(fit)}, or leave arch= out.",
    )


def _refuse_unknown_depth(ref: EncoderRef, fit: Fit, options: Options) -> None:
    """A file that lost its last block is a complete net of a depth that nobody published."""
    architecture = fit.reading.architecture
    if not architecture.published and options.depth != architecture.depth:
        raise WeightsMismatch(
            f"the weights of '{ref.locator}' did not load: they are a {architecture.name}, and no published "
            f"net has this depth. Blocks may be missing.\nIf it is meant, say so: "
            f"{ref.scheme},depth={architecture.depth}:{ref.locator}"
        )


def _refuse_damaged_choice(
    ref: EncoderRef, fits: list[Fit], complete: list[Fit], project: Project | None
) -> None:
    """The branch that the project evaluates lacks tensors: another that is whole does not stand in for it."""
    whole = {fit.prefix for fit in complete}
    damaged = [fit for fit in fits if fit.prefix not in whole and fit.match.mostly]
    if not damaged:
        return
    meant, _ = choose([*complete, *damaged], project.branch if project else None)
    if meant is None or not meant.match.complete:
        worst = meant or damaged[0]
        takes = ", ".join(option_of(fit, fits) for fit in complete)
        raise refusal.mismatch(
            ref.locator,
            worst.reading.architecture.name,
            worst.match,
            prefix=worst.origin.removeprefix(worst.branch).lstrip("."),
            hint=f"Another backbone in the file is whole; if it is meant, say so: {takes}",
        )


def _refuse_helpers(ref: EncoderRef, fit: Fit, flat: Mapping[str, Stored]) -> None:
    """A network that served a loss is no encoder, when the file holds another that is not known here."""
    outside = [name for name in flat if not name.startswith(fit.prefix)]
    if _HELPER.search(fit.address) and len(outside) >= _LARGE:
        raise WeightsMismatch(
            f"'{ref.locator}': the only backbone known here, '{fit.address}', seems to serve a loss; "
            f"{len(outside)} other tensors are of no known architecture: {refusal.listed(outside)}.\n"
            f"If it is meant, say so: {ref.scheme},prefix={fit.address}:{ref.locator}"
        )


def _has_part(flat: Mapping[str, Stored], key: str) -> bool:
    wanted = f".{key.strip('.')}."
    return any(wanted in f".{one.path}." for one in flat.values())

"""Looks for the backbone that a file holds, and says why when there is none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sslaudit.errors import WeightsMismatch
from sslaudit.refs import EncoderRef
from sslaudit.train.checkpoint import is_checkpoint
from sslaudit_checkpoints import own, refusal
from sslaudit_checkpoints.architectures import DIALECTS, stated
from sslaudit_checkpoints.architectures.base import Hints, Unfit
from sslaudit_checkpoints.fits import Fit, by_key, by_prefix, choose, find, key_of
from sslaudit_checkpoints.formats.opened import Opened
from sslaudit_checkpoints.match import match
from sslaudit_checkpoints.options import Options
from sslaudit_checkpoints.project import Project
from sslaudit_checkpoints.projects import recognise
from sslaudit_checkpoints.tensors import Stored, branches, flatten, keys


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
    content: Mapping[str, object] = opened.content or {}
    flat = flatten(content)
    if is_checkpoint(content):
        fit, facts = own.fit(ref, content)
        return Found(flat=flat, fit=fit, facts=facts)
    if any(name.endswith("_flat_param") for name in flat):
        raise refusal.flattened(ref.locator)
    if not flat:
        raise WeightsMismatch(f"'{ref.locator}' holds no tensors by name.")
    project = recognise([one.path for one in flat.values()] + list(keys(content)))
    if project is not None and project.refusal and options.key is None and options.prefix is None:
        raise WeightsMismatch(f"'{ref.locator}': {project.refusal}")
    hints = options.hints(project.name if project else "", max_pool=_max_pool(content))
    fits, unfit = _fits(flat, options, hints)
    if options.key is not None:
        chosen = by_key(fits, options.key)
        if not chosen and not _has_part(flat, options.key):
            parts = dict.fromkeys([*branches(flat.values()), *(key_of(fit, fits) for fit in fits)])
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
    others = tuple(
        f"{fit.address or 'the top'} (key={key_of(fit, distinct)})" for fit in distinct if fit is not taken
    )
    said = (*_believed(ref, taken, options, content), *([project.note] if project and project.note else []))
    return Found(
        flat=flat,
        fit=taken,
        rivals=tuple(fit for fit in complete if fit is not taken),
        others=others,
        project=project,
        assumptions=said,
    )


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
    best = max(
        fits, key=lambda fit: (len(fit.match.matched) / fit.match.expected, -fit.match.expected), default=None
    )
    if best is None and unfit:
        raise WeightsMismatch(f"the weights of '{ref.locator}' did not load: {unfit[0]}")
    if best is None:
        raise _unrecognised(ref, flat, options.arch or stated.in_file(content))
    if options.allow_partial and best.match.matched and not best.match.surplus:
        return best
    raise refusal.mismatch(
        ref.locator,
        best.reading.architecture.name,
        best.match,
        prefix=best.origin.removeprefix(best.branch).lstrip("."),
        hint=refusal.hint(ref.locator),
    )


def _unrecognised(ref: EncoderRef, flat: Mapping[str, Stored], arch: str | None) -> WeightsMismatch:
    """No name is that of a known backbone: counted against the architecture that somebody states."""
    architecture = stated.skeleton_of(arch) if arch else None
    if architecture is None:
        return refusal.unknown(ref.locator, [one.path for one in flat.values()])
    state = {one.name: one.tensor for one in flat.values()}
    return refusal.mismatch(
        ref.locator,
        architecture.name,
        match(state, architecture.skeleton().state_dict()),
        hint=refusal.hint(ref.locator),
    )


def _believed(ref: EncoderRef, fit: Fit, options: Options, content: Mapping[str, object]) -> Iterator[str]:
    """The tensors win over a stated architecture: the user's is refused, the file's is a note."""
    name = fit.reading.architecture.name
    base = name.split(",")[0]
    if options.arch and ":" not in options.arch and options.arch != base:
        wanted = stated.skeleton_of(options.arch)
        assert wanted is not None
        raise refusal.mismatch(
            ref.locator,
            options.arch,
            match(fit.reading.state, wanted.skeleton().state_dict()),
            hint=f"The tensors fit {name}: write arch={base}, or leave arch= out.",
        )
    said = stated.in_file(content)
    if said and said != base and stated.named(said) is not None:
        yield f"the file says {said}, its tensors fit {name}: the tensors are believed"


def _max_pool(content: Mapping[str, object]) -> bool | None:
    """Whether Lightning Bolts kept the max-pool, which it chooses apart from the stem."""
    parameters = content.get("hyper_parameters")
    said = parameters.get("maxpool1") if isinstance(parameters, Mapping) else None
    return said if isinstance(said, bool) else None


def _has_part(flat: Mapping[str, Stored], key: str) -> bool:
    wanted = f".{key.strip('.')}."
    return any(wanted in f".{one.path}." for one in flat.values())

"""Descriptions that plugins hand to the host: small frozen records with one callable each.

No module of an array library is imported here, so that listing plugins stays light. A plugin
imports torch inside its callables.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from sslaudit.errors import UsageError
from sslaudit.refs import DataRef, EncoderRef, Term
from sslaudit.results import Detail, Estimate

if TYPE_CHECKING:
    from sslaudit.data import Dataset
    from sslaudit.encoder import Encoder
    from sslaudit.inputs import MetricInputs

OptionValue = str | int | float | bool

LARGEST_SEED = 2**63 - 1
"""What every generator takes as a seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One option of a metric, an encoder scheme, a recipe term or a training method."""

    name: str
    type: type[str] | type[int] | type[float] | type[bool]
    default: OptionValue | None
    """The value when the user says nothing; None when the callable decides."""
    help: str
    minimum: float | None = None
    """The smallest number allowed."""
    maximum: float | None = None
    """The largest number allowed."""
    choices: tuple[str, ...] = ()
    """The texts allowed; empty for any."""

    def read(self, text: str, owner: str) -> OptionValue:
        """``text`` as this option's type. Raises ``UsageError`` naming ``owner``."""
        try:
            if self.type is bool:
                return {"true": True, "false": False, "yes": True, "no": False}[text.lower()]
            value = self.type(text)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(text)
        except (ValueError, KeyError):
            kind = {int: "a whole number", float: "a number", bool: "true or false"}.get(self.type, "text")
            raise UsageError(f"{owner}: option {self.name}={text} is not {kind}.") from None
        if self.minimum is not None and isinstance(value, int | float) and value < self.minimum:
            raise UsageError(f"{owner}: option {self.name}={text} is below {self.minimum:g}.")
        if self.maximum is not None and isinstance(value, int | float) and value > self.maximum:
            raise UsageError(f"{owner}: option {self.name}={text} is above {self.maximum}.")
        if self.choices and value not in self.choices:
            raise UsageError(f"{owner}: option {self.name}={text} is none of {', '.join(self.choices)}.")
        return value


@dataclass(frozen=True, slots=True)
class Deferred:
    """The function at ``path``, ``package.module:name``, imported when it is first called."""

    path: str

    def resolve(self) -> Callable[..., Any]:
        """The function itself, imported now."""
        module, _, name = self.path.partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.resolve()(*args, **options)


def deferred(path: str) -> Deferred:
    """The function at ``package.module:name``, imported when it is first called."""
    return Deferred(path)


def read_options(
    given: Mapping[str, str], declared: Sequence[Option], owner: str
) -> dict[str, OptionValue | None]:
    """The declared options with what the user gave. Raises ``UsageError`` for an unknown name."""
    by_name = {option.name: option for option in declared}
    for name in given:
        if name not in by_name:
            known = ", ".join(sorted(by_name)) or "none"
            raise UsageError(f"{owner} has no option '{name}'; it has: {known}.")
    return {
        option.name: option.read(given[option.name], owner) if option.name in given else option.default
        for option in declared
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where the weights of a reference come from, known before any of them is fetched."""

    name: str
    """The repository or file."""
    revision: str = ""
    """The commit that the weights are pinned to."""
    bytes: int | None = None
    """Size of the files that are needed; None when nobody says."""
    to_fetch: int = 0
    """Of these, bytes that are not on this machine yet."""
    licence: str = ""
    gated: bool = False
    """Whether the owner must grant access."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderScheme:
    """How references of one scheme become encoders."""

    scheme: str
    summary: str
    """One line for ``sslaudit list encoders``."""
    load: Callable[[EncoderRef, str], "Encoder"]
    """``load(ref, device)`` returns the encoder, in eval mode, or raises an ``EncoderError``."""
    untrained: Callable[[EncoderRef, int, str], "Encoder"] | None = None
    """``untrained(ref, seed, device)`` returns the same architecture with fresh weights: the control."""
    resolve: Callable[[EncoderRef], Source] | None = None
    """``resolve(ref)`` says what ``load`` would fetch, without fetching weights; may be left out."""
    options: tuple[Option, ...] = ()
    example: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetScheme:
    """How references of one scheme become data sets."""

    scheme: str
    summary: str
    open: Callable[[DataRef], "Dataset"]
    """``open(ref)`` returns the data set or raises a ``DataError``."""
    options: tuple[Option, ...] = ()
    example: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a metric reads. The host hands over this and nothing else."""

    embeddings: bool = False
    """The embedding of the identity view of each image, (N, D)."""
    views: int = 0
    """At least so many views of each image, as embeddings (N, V, D); 0 for none."""
    pixel_views: int = 0
    """At least so many views of each image, as pixels; 0 for none."""
    labels: bool | Literal["optional"] = False
    """Class labels and the train / test split; ``optional`` for a metric that says less without."""
    encoder: bool = False
    """The live encoder."""
    altered: bool = False
    """Images whose pixels are changed before the encoder sees them, as embeddings and as pixels."""
    results: tuple[str, ...] = ()
    """Names of metrics whose results are read; they run first, with this metric's options where they
    have options of the same names."""
    space: Literal["embedding", "projection", "both", "trained"] = "embedding"
    """Which features are read: ``both`` runs the metric on projections too where the checkpoint holds
    its projector; ``trained`` takes what the training loss saw, projections where there are any."""
    min_per_class: int = 1
    """With fewer training images in any class the metric is not applicable."""

    @property
    def embeddings_alone(self) -> bool:
        """Whether one embedding of each image, with labels or without, is all that is read."""
        more = self.views or self.pixel_views or self.encoder or self.altered or self.results
        return self.embeddings and not more


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec:
    """A metric: what it is called, what it needs, how to compute it."""

    name: str
    """What the user types, ``knn``."""
    version: int
    """Raised whenever the numbers change."""
    summary: str
    """What the number is, as the label of its row: ``1-NN, {k} labels a class`` names an option."""
    paper: str = ""
    """The paper's word for it, where the label is a plainer one: ``alignment`` for ``view spread``."""
    source: str
    """Paper and equation."""
    needs: Needs
    compute: Callable[["MetricInputs"], Estimate | Mapping[str, Estimate]]
    """One estimate, or several by name."""
    options: tuple[Option, ...] = ()
    direction: Literal["higher", "lower", "none"] = "none"
    """Which way is better."""
    unit: str = ""
    range: tuple[float | None, float | None] = (None, None)
    """The smallest and the largest value there can be."""
    group: Literal[
        "quality", "factor", "data", "guarantee", "shape", "classes", "change", "pretext", "other"
    ] = "other"
    """Where a card shows it: how good, why, of the data, what theory guarantees, the shape of the
    embedding, the classes in it, what a change of the image does, what pretext tasks can give, the rest."""
    default: bool = True
    """Whether it runs when the user names no metrics."""
    check: Callable[[Mapping[str, OptionValue | None]], str] | None = None
    """``check(options)`` says before any work what is wrong with options that are well-formed one by
    one; empty when they go together. May be left out."""
    explain: Callable[[Mapping[str, Mapping[str, Detail]]], str] | None = None
    """``explain(estimates)`` writes out the formula with the numbers of a card, for
    ``sslaudit report CARD --explain``; it gets the details of each estimate by its name, which is
    empty where a metric gives one only. May be left out."""

    @property
    def data_scoped(self) -> bool:
        """Whether the result does not depend on the encoder."""
        needs = self.needs
        return not (needs.embeddings or needs.views or needs.encoder or needs.altered or needs.results)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeSpec:
    """A named distribution of augmentations, written in terms: ``crop+flip+color(strength=1.0)``."""

    name: str
    version: int
    """Raised whenever the drawn views change."""
    summary: str
    terms: tuple[Term, ...]
    second: tuple[Term, ...] = ()
    """Terms of a second distribution, where the drawn views take two in turn; empty for one."""
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodSpec:
    """A training method."""

    name: str
    summary: str
    source: str
    build: Callable[..., object] | None = None
    """``build(backbone, dim, **options)`` returns a ``sslaudit.train.methods.Method``, which is trained
    from views of each image. A hyphen in the name of an option is ``_`` there."""
    refine: Callable[..., object] | None = None
    """``refine(task, **options)`` returns a ``sslaudit.train.refinement.Learned``: a head on top of an
    encoder that stays as it is. A method has either this or ``build``."""
    recipe: str = "simclr"
    """The recipe when the user names none; read by ``build`` methods alone."""
    heads: str = ""
    """What stands on the backbone while it trains, in a line, as published and as here."""
    options: tuple[Option, ...] = field(default=())

    def __post_init__(self) -> None:
        if (self.build is None) == (self.refine is None):
            raise UsageError(f"method '{self.name}' needs one of build and refine.")

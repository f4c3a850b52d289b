"""References: the one line of text that names an encoder, a data set, a metric or a recipe.

The grammar of encoders and data sets::

    ref := alias | scheme{,option=value}:locator

A scheme has two or more characters, so ``C:\\x.pt`` is a path. Options stand before the colon;
the locator behind it is opaque. ``parse`` is total: it returns a reference or raises ``RefError``.
``str`` is its inverse. No file is looked at here.

The grammar of metrics and recipes::

    term   := name | name(option=value{,option=value})
    recipe := term{+term}
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

from sslaudit.errors import RefError

WEIGHT_SUFFIXES = (".pt", ".pth", ".ckpt", ".tar", ".bin", ".safetensors", ".onnx", ".pkl", ".npz")
"""A text with one of these endings is a file, never a name on a hub."""

_SCHEME = r"[A-Za-z][A-Za-z0-9_.+-]+"
# An architecture is itself named by scheme (`arch=timm:resnet18`): the one value that keeps a colon.
_ARCHITECTURES = ("timm", "torchvision")
_VALUE = rf"(?:(?:{'|'.join(_ARCHITECTURES)}):[^,:]+|[^,:]*)"
_REF = re.compile(
    rf"(?P<scheme>{_SCHEME})(?P<options>(?:,[A-Za-z][\w-]*={_VALUE})*):(?P<locator>.*)", re.DOTALL
)
_OPTION = re.compile(rf",(?P<name>[A-Za-z][\w-]*)=(?P<value>{_VALUE})")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_TERM = re.compile(r"(?P<name>[A-Za-z][\w.-]*)(?:\((?P<options>[^()]*)\))?")


@dataclass(frozen=True, slots=True)
class Ref:
    """A parsed reference.

    ``scheme`` is empty for an alias; ``options`` keep the order in which they were written.
    """

    scheme: str
    locator: str
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str, default: str | None = None) -> str | None:
        """The text of an option, or ``default``."""
        return dict(self.options).get(name, default)

    def __str__(self) -> str:
        bare = type(self)._bare(self.locator)
        if not self.options and bare == self:
            return self.locator
        options = "".join(f",{name}={_quote_value(value)}" for name, value in self.options)
        return f"{self.scheme}{options}:{self.locator}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``text``. Raises ``RefError`` when it is empty, malformed or ambiguous."""
        if not text.strip():
            raise RefError(f"{cls._kind()} is empty.")
        if not _DRIVE.match(text) and (match := _REF.fullmatch(text)):
            options = tuple((m["name"], unquote(m["value"])) for m in _OPTION.finditer(match["options"]))
            return cls(match["scheme"], match["locator"], _unique(options, text))
        bare = cls._bare(text)
        if bare is None:
            raise cls._refusal(text)
        return bare

    @classmethod
    def _kind(cls) -> str:
        return "the reference"

    @classmethod
    def _bare(cls, text: str) -> Self | None:
        """What a text without scheme means, or None when it means nothing for sure."""
        return None

    @classmethod
    def _refusal(cls, text: str) -> RefError:
        return RefError(f"'{text}' cannot be read as {cls._kind()}.")


@dataclass(frozen=True, slots=True)
class EncoderRef(Ref):
    """What names an encoder: ``timm:NAME``, ``PATH``, ``simclr,arch=resnet18:PATH``, or an alias."""

    def target(self) -> Self:
        """The reference that an ``untrained:`` one is the control of; any other is its own target."""
        return type(self).parse(self.locator).target() if self.scheme == "untrained" else self

    @classmethod
    def _kind(cls) -> str:
        return "the encoder"

    @classmethod
    def _bare(cls, text: str) -> Self | None:
        if not _DRIVE.match(text) and _REF.fullmatch(text):
            return None
        if is_path_like(text):
            return cls("file", text)
        if "/" in text:
            return None
        return cls("", text)

    @classmethod
    def _refusal(cls, text: str) -> RefError:
        if _HUB_ID.fullmatch(text):
            return RefError(
                f"'{text}' may be a model on the Hugging Face hub or a local file. "
                f"Write hf:{text} or timm:hf-hub:{text} for the hub, or ./{text} for the file."
            )
        return RefError(f"'{text}' names no encoder. Write ./{text} for a file, or SCHEME:{text}.")


@dataclass(frozen=True, slots=True)
class DataRef(Ref):
    """What names a data set: ``digits``, a folder, ``folder:PATH``."""

    @classmethod
    def _kind(cls) -> str:
        return "the data"

    @classmethod
    def _bare(cls, text: str) -> Self | None:
        if not _DRIVE.match(text) and _REF.fullmatch(text):
            return None
        if text == "digits":
            return cls("digits", "digits")
        return cls("folder", text)


def is_path_like(text: str) -> bool:
    """Whether a text without scheme can only be a file: path prefix, backslash, or weight-file ending."""
    return (
        text.startswith((".", "/", "~", "\\"))
        or bool(_DRIVE.match(text))
        or "\\" in text
        or text.lower().endswith(WEIGHT_SUFFIXES)
        or text.count("/") > 1
        or (text.endswith("/") and len(text) > 1)
    )


@dataclass(frozen=True, slots=True)
class Term:
    """A name with options: ``knn(k=20,T=0.07)``, ``color(strength=0.25)``."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}({','.join(f'{name}={value}' for name, value in self.options.items())})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse one term. Raises ``RefError`` when it is malformed or names an option twice."""
        match = _TERM.fullmatch(text.strip())
        if match is None:
            raise RefError(f"'{text}' is not a term; write NAME or NAME(option=value,...).")
        pairs = []
        for part in (match["options"] or "").split(","):
            if not part.strip():
                continue
            name, equals, value = part.partition("=")
            if not equals or not name.strip() or not value.strip():
                raise RefError(f"'{part.strip()}' in '{text}' is not option=value.")
            pairs.append((name.strip(), value.strip()))
        return cls(match["name"], dict(_unique(tuple(pairs), text)))


def split_terms(text: str, separator: str) -> list[Term]:
    """Parse terms joined by ``separator``; a separator inside parentheses does not split."""
    return [Term.parse(part) for part in split_outside(text, separator)]


def split_outside(text: str, separator: str) -> list[str]:
    """The parts of ``text`` between separators that stand outside of parentheses. Raises ``RefError``."""
    parts = re.split(rf"{re.escape(separator)}(?![^()]*\))", text)
    if any(not part.strip() for part in parts):
        raise RefError(f"'{text}' has an empty place between two '{separator}'.")
    return [part.strip() for part in parts]


def _quote_value(value: str) -> str:
    if re.fullmatch(rf"(?:{'|'.join(_ARCHITECTURES)}):[^,:%]+", value):
        return value
    if value in _ARCHITECTURES:  # would swallow the start of the locator
        return f"{value[:-1]}%{ord(value[-1]):02X}"
    return re.sub("[%,:]", lambda mark: f"%{ord(mark[0]):02X}", value)


def _unique(pairs: tuple[tuple[str, str], ...], text: str) -> tuple[tuple[str, str], ...]:
    names = [name for name, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RefError(f"'{text}' gives the option '{twice}' twice.")
    return pairs

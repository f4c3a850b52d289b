"""The options of a reference to a file, read."""

import re
from dataclasses import dataclass
from typing import Self

from sslaudit.errors import UsageError
from sslaudit.refs import EncoderRef
from sslaudit.specs import read_options
from sslaudit_checkpoints import METHODS, OPTIONS
from sslaudit_checkpoints.architectures.base import Hints

_LARGEST = 4096
_SIZE = re.compile(r"(?P<height>[1-9]\d{0,4})(?:x(?P<width>[1-9]\d{0,4}))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the user says beside the path."""

    arch: str | None
    key: str | None
    prefix: str | None
    size: tuple[int, int] | None
    """Height and width."""
    heads: int | None
    depth: str | None
    same_padding: bool
    allow_partial: bool
    trust_pickle: bool
    method: str
    """The scheme, when it is the name of a method."""

    @classmethod
    def of(cls, ref: EncoderRef) -> Self:
        """Raises ``UsageError`` for an unknown option or a value that cannot be meant."""
        read = read_options(dict(ref.options), OPTIONS, f"'{ref}'")
        text = {
            name: None if read[name] is None else str(read[name])
            for name in ("arch", "key", "prefix", "depth")
        }
        if text["arch"] is not None and ":" not in text["arch"]:
            text["arch"] = text["arch"].lower()
        heads = read["heads"]
        return cls(
            **text,
            size=_size(ref, read["size"]),
            heads=heads if isinstance(heads, int) else None,
            same_padding=read["padding"] == "same",
            allow_partial=bool(read["allow-partial"]),
            trust_pickle=bool(read["trust-pickle"]),
            method=ref.scheme if ref.scheme in METHODS else "",
        )

    def hints(self, project: str, *, heads: int | None, max_pool: bool | None) -> Hints:
        """For the families of architectures, with what the file itself says."""
        return Hints(
            project=project,
            max_pool=max_pool,
            heads=self.heads or heads,
            size=self.size,
            arch=self.arch,
            same_padding=self.same_padding,
        )


def _size(ref: EncoderRef, text: object) -> tuple[int, int] | None:
    if text is None:
        return None
    match = _SIZE.fullmatch(str(text))
    if match is None:
        raise UsageError(f"'{ref}': option size={text} is neither N nor HEIGHTxWIDTH in pixels.")
    size = int(match["height"]), int(match["width"] or match["height"])
    if max(size) > _LARGEST:
        raise UsageError(f"'{ref}': option size={text} is above {_LARGEST} pixels.")
    return size

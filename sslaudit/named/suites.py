"""Protocols of audits: a name for the data, the images taken and every setting of an evaluation.

A suite is a TOML file with ``kind = "audit"``. Cards of one suite and version are comparable, since
nothing about them was left to choose. (Suites of ``sslaudit sweep`` lie in the same folder.)
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sslaudit.errors import UsageError
from sslaudit.named.fields import read_fields
from sslaudit.named.folder import folder, read_toml
from sslaudit.registry import nearest

ViewsMode = Literal["per-image", "bank"]
Precision = Literal["fp32", "bf16", "fp16"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditSuite:
    """Everything that an audit leaves to choose, chosen."""

    name: str
    version: int
    """Raised whenever a number could change."""
    summary: str
    data: str | None = None
    """The reference of the data; None where they must be given."""
    digest: str | None = None
    """sha256 that the data must have after ``max_images`` and ``per_class``, as ``data.digest`` of a card."""
    metrics: tuple[str, ...] | None = None
    """Terms; None for all that run by default."""
    recipe: str
    views: int = 8
    views_mode: ViewsMode = "per-image"
    seed: int = 0
    precision: Precision = "fp32"
    max_images: int | None = None
    per_class: int | None = None
    how_to_get: str
    """Where the data come from, of which licence, and how a user gets them."""

    @property
    def label(self) -> str:
        """What a card writes into ``suite``: name and version."""
        return f"{self.name}-v{self.version}"

    def check_data(self, digest: str, ref: str) -> None:
        """Raises ``UsageError`` when the images of ``ref`` are not those of the suite."""
        if self.digest is not None and digest != self.digest:
            raise UsageError(
                f"'{ref}' does not hold the images of the suite '{self.name}': their digest is "
                f"{digest[:12]}... and must be {self.digest[:12]}.... {self.how_to_get}"
            )


def audit_suites() -> tuple[AuditSuite, ...]:
    """All that come with sslaudit, by name."""
    return tuple(_read(path) for path in _files().values() if _kind(path) == "audit")


def sweep_suites() -> dict[str, Path]:
    """The files of suites for ``sslaudit sweep`` that come with it, by name."""
    return {name: path for name, path in _files().items() if _kind(path) != "audit"}


def read_suite(name_or_path: str) -> AuditSuite:
    """The suite of that name, or in the file of that path. Raises ``UsageError``."""
    return _read(_path(name_or_path, [suite.name for suite in audit_suites()]))


def sweep_file(name_or_path: str) -> Path:
    """The file of the suite of ``sslaudit sweep`` that is named. Raises ``UsageError``."""
    path = _path(name_or_path, sweep_suites())
    if _kind(path) == "audit":
        raise UsageError(
            f"the suite '{name_or_path}' trains nothing: sslaudit evaluate REF --suite {name_or_path}."
        )
    return path


def _path(text: str, fitting: Iterable[str]) -> Path:
    """A file of the user's, or that of a name. Raises ``UsageError`` with the nearest of ``fitting``."""
    path = Path(text)
    if text.endswith(".toml") or path.is_file():
        return path
    known = _files()
    if text not in known:
        raise UsageError(
            f"there is no suite '{text}'.{nearest(text, fitting)} A file of yours is named by its path."
        )
    return known[text]


def _files() -> dict[str, Path]:
    """By name, in order."""
    found = {path.stem: path for path in (folder() / "suites").glob("*.toml")}
    return dict(sorted(found.items()))


def _kind(path: Path) -> object:
    return read_toml(path, "the suite").get("kind", "sweep")


def _read(path: Path) -> AuditSuite:
    content = read_toml(path, "the suite")
    if (kind := content.pop("kind", "sweep")) != "audit":
        raise UsageError(
            f"the suite '{path.stem}' is for training: sslaudit sweep {path.stem}."
            if kind == "sweep"
            else f"the suite '{path}': kind is {kind!r}, not 'audit'."
        )
    where = f"the suite '{path}'"
    suite = read_fields(AuditSuite, content, where)
    for fault in _faults(suite):
        raise UsageError(f"{where}: {fault}.")
    return replace(suite, how_to_get=" ".join(suite.how_to_get.split()))


def _faults(suite: AuditSuite) -> Iterator[str]:
    if not _NAME.fullmatch(suite.name):
        yield f"name '{suite.name}' is no name of a folder: letters, digits, '.', '_' and '-' are"
    for field in ("version", "views", "max_images", "per_class"):
        if (number := getattr(suite, field)) is not None and number < 1:
            yield f"{field} {number} is below 1"
    if suite.seed < 0:
        yield f"seed {suite.seed} is below 0"
    if suite.digest is not None and not _DIGEST.fullmatch(suite.digest):
        yield "digest is 64 hexadecimal digits"
    if suite.recipe == "auto":
        yield "recipe is 'auto', which may be another for every encoder; name one"
    if suite.metrics == ():
        yield "metrics: there is none; leave the field out for all that run by default"

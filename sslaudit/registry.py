"""Names to specs: what the plugins offer, looked up with an answer for every misspelling."""

import contextlib
import difflib
import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from sslaudit.errors import PluginError, RefError, SslauditError
from sslaudit.host import Plugin, Spec, load_plugins, name_of
from sslaudit.refs import DataRef, EncoderRef, Ref
from sslaudit.specs import DatasetScheme, EncoderScheme, MethodSpec, MetricSpec, RecipeSpec

S = TypeVar("S", bound=Spec)
T = TypeVar("T")


_FEW = 8


def _says(summary: str, name: str) -> bool:
    """Whether a word of ``summary`` is ``name``: ``NC1, spread of classes`` says ``nc1``."""
    return name.lower() in re.findall(r"[\w-]+", summary.lower())


def nearest(name: str, known: Iterable[str], listing: str = "") -> str:
    """`` Did you mean 'knn'?`` or nothing, then what there is: all of a few, else the near ones.

    ``listing`` is the command that lists all.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=_FEW, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    if len(names) <= _FEW:
        return f"{hint} There is: {', '.join(names) or 'none'}."
    near = f"; near: {', '.join(close[1:])}" if close[1:] else ""
    return f"{hint} There are {len(names)}{f': `{listing}`' if listing else ''}{near}."


class Table(Generic[S]):
    """The specs of one kind by name, with the plugin that offers each."""

    def __init__(self, kind: str, plugins: Iterable[Plugin], expected: type[S]) -> None:
        self.kind = kind
        self._owned: dict[str, list[tuple[S, Plugin]]] = {}
        for plugin in plugins:
            for spec in plugin.offers.get(f"{kind}s", []):
                if isinstance(spec, expected):
                    self._owned.setdefault(name_of(spec), []).append((spec, plugin))

    def names(self) -> list[str]:
        """All names in order."""
        return sorted(self._owned)

    def get(self, name: str) -> S:
        """The spec of that name. Raises ``RefError`` (unknown) or ``PluginError`` (offered twice)."""
        return self._find(name)[0]

    def owner(self, name: str) -> Plugin:
        """The plugin that offers ``name``."""
        return self._find(name)[1]

    def call(self, name: str, ref: Ref, make: Callable[[], T]) -> T:
        """What a callable of ``name`` makes of ``ref``; all but our own errors are the plugin's fault."""
        try:
            return make()
        except SslauditError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise PluginError(
                f"plugin {self.owner(name)} failed on '{ref}': {type(error).__name__}: {reason}"
            ) from error

    def nearest(self, name: str) -> str:
        """What to say of a ``name`` that nobody offers."""
        giving = [
            known
            for known, ((spec, _), *_) in self._owned.items()
            if _says(f"{spec.summary} {getattr(spec, 'paper', '')}", name)
        ]
        if len(giving) == 1:
            return f" '{giving[0]}' gives it: `sslaudit list {self.kind}s {giving[0]}`."
        return nearest(name, self._owned, f"sslaudit list {self.kind}s")

    def usable(self) -> Mapping[str, S]:
        """Specs that are offered once, in the order in which their plugins list them."""
        return {name: owned[0][0] for name, owned in self._owned.items() if len(owned) == 1}

    def _find(self, name: str) -> tuple[S, Plugin]:
        owned = self._owned.get(name, [])
        if not owned:
            raise RefError(f"there is no {self.kind} '{name}'.{self.nearest(name)}")
        if len(owned) > 1:
            both = " and ".join(str(plugin) for _, plugin in owned)
            raise PluginError(f"{self.kind} '{name}' is offered by {both}; disable one of them.")
        return owned[0]


class Registry:
    """Everything the installed plugins offer."""

    def __init__(self, plugins: list[Plugin]) -> None:
        self.plugins = plugins
        self.encoders = Table("encoder", plugins, EncoderScheme)
        self.metrics = Table("metric", plugins, MetricSpec)
        self.datasets = Table("dataset", plugins, DatasetScheme)
        self.recipes = Table("recipe", plugins, RecipeSpec)
        self.methods = Table("method", plugins, MethodSpec)

    def encoder_scheme(self, ref: EncoderRef) -> EncoderScheme:
        """The scheme of ``ref``. Raises ``RefError`` with the spellings that work."""
        if not ref.scheme:
            raise RefError(_two_readings(ref.locator))
        return self._scheme(self.encoders, ref)

    def dataset_scheme(self, ref: DataRef) -> DatasetScheme:
        """The scheme of ``ref``. Raises ``RefError`` with the nearest spelling."""
        return self._scheme(self.datasets, ref)

    @staticmethod
    def _scheme(table: Table[S], ref: Ref) -> S:
        if ref.scheme in table.names():
            scheme = table.get(ref.scheme)
            example = getattr(scheme, "example", "")
            if not ref.locator.strip() and example != ref.scheme:  # digits are the whole of their name
                raise RefError(f"'{ref}' names nothing{f'; write {example}' if example else ''}.")
            return scheme
        if ref.locator.startswith("//"):
            hub = "the file, or a repository of the Hugging Face hub: hf:ORG/NAME"
            what = "the folder" if isinstance(ref, DataRef) else hub
            raise RefError(f"'{ref}' is a URL. Download it first and name {what}.")
        if os.path.exists(str(ref)):
            raise RefError(
                f"'{ref}' has the unknown scheme '{ref.scheme}'. Write ./{ref} for what lies here."
            )
        raise RefError(f"'{ref}' has the unknown scheme '{ref.scheme}'.{table.nearest(ref.scheme)}")


def _two_readings(name: str) -> str:
    """Why a bare name is refused, and the two spellings that are not ambiguous."""
    path = Path(name)
    with contextlib.suppress(OSError, ValueError):  # a name that no file system takes
        if path.exists():
            kind = "folder" if path.is_dir() else "file"
            return (
                f"'{name}' may be the {kind} that lies here or a timm model. "
                f"Write ./{name} for the {kind} or timm:{name} for the model."
            )
    return (
        f"'{name}' names no encoder: it has no scheme and no weight-file ending. "
        f"Write timm:{name} for a timm model, ./{name} for a file, or a short name of `sslaudit list models`."
    )


@functools.cache
def installed() -> Registry:
    """The registry of this process, loaded at the first call."""
    return Registry(load_plugins())

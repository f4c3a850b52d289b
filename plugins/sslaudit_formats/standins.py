"""What stands for the classes and functions that a pickle names, so that none is imported.

Three layers, the first that fits:

* ``DATA``: constructors of ours for plain data (numpy, paths, dates, dictionaries of libraries).
* ``RECORDED``, and classes of other projects: calls that are written down and not made (members of
  enumerations, ``functools.partial``).
* everything else: a class of ours that keeps the state of its instances. *Calling* it is refused:
  functions, and the standard library outside ``RECORDED``, are called by a pickle that wants code to run.
"""

import _compat_pickle
import datetime
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

import torch

from sslaudit_formats.arrays import Array, Dtype, array, scalar
from sslaudit_formats.globals import shown

_MEMBERS = 2500
"""Names in one load: torch goes through all of them for every call in the pickle."""


class Called(Exception):
    """The pickle calls something that is no data; the message is its name."""


class _Uncallable(type):
    named: str

    def __call__(cls, *args: Any) -> Any:
        raise Called(cls.named)


class StandIn(list[Any], metaclass=_Uncallable):
    """An instance of a class that was not imported; a list, because torch appends to lists only."""

    named = ""
    state: Any = None
    arguments: tuple[Any, ...] = ()

    def __new__(cls, *arguments: Any) -> "StandIn":
        self = list.__new__(cls)
        self.arguments = arguments
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


class _Recording(_Uncallable):
    def __call__(cls, *arguments: Any) -> Any:
        return cls.__new__(cls, *arguments)


class _Recorded(StandIn, metaclass=_Recording):
    pass


class Dictionary:
    """A dictionary of any class becomes a plain one: torch sets items in plain ones only."""

    def __new__(cls, *arguments: Any) -> "OrderedDict[Any, Any]":  # type: ignore[misc]
        last = arguments[-1] if arguments else {}
        return OrderedDict(last) if isinstance(last, Mapping) else OrderedDict()


class _Text:
    def __new__(cls, text: str = "") -> str:  # type: ignore[misc]
        return str.__str__(text)


def _items(items: Any = (), *_: Any) -> list[Any]:
    return list(items)


def _path(*parts: str) -> str:
    return str(PurePosixPath(*parts))


def _no_bytes() -> bytes:
    return b""


def _member(owner: Any, name: str) -> Any:
    """``Outer.inner`` of a class that was not imported, which may be called in turn; nothing is looked up."""
    if isinstance(owner, type) and issubclass(owner, StandIn) and isinstance(name, str):
        full = f"{owner.named}.{name}"
        known = {path: one for one, path in torch.serialization.get_safe_globals()}
        if full not in known and len(known) < _MEMBERS:
            known[full] = stand_in(full)
            torch.serialization.add_safe_globals([(known[full], full)])  # for the load that is going on
        if full in known:
            return known[full]
    raise Called("builtins.getattr")


DATA: dict[str, Callable[..., Any]] = {
    "builtins.bytes": _no_bytes,
    "builtins.frozenset": frozenset,
    "builtins.getattr": _member,
    "builtins.slice": slice,
    "builtins.range": range,
    "collections.deque": _items,
    "torch.torch_version.TorchVersion": _Text,
    "numpy.ndarray": Array,
    "numpy.dtype": Dtype,
    **{f"numpy.{core}.multiarray._reconstruct": array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": scalar for core in ("core", "_core")},
    **{
        f"datetime.{kind.__name__}": kind
        for kind in (
            datetime.datetime,
            datetime.date,
            datetime.time,
            datetime.timedelta,
            datetime.timezone,
        )
    },
    **{
        f"{module}.{kind}": _path
        for module in ("pathlib", "pathlib._local")
        for kind in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
    **dict.fromkeys(
        (
            "collections.defaultdict",
            "pytorch_lightning.utilities.parsing.AttributeDict",
            "lightning.pytorch.utilities.parsing.AttributeDict",
            "lightning.fabric.utilities.data.AttributeDict",
            "lightning_fabric.utilities.data.AttributeDict",
            "mmengine.config.config.ConfigDict",
            "mmcv.utils.config.ConfigDict",
            "yacs.config.CfgNode",
            "fvcore.common.config.CfgNode",
            "detectron2.config.config.CfgNode",
            "easydict.EasyDict",
            "addict.addict.Dict",
            "addict.Dict",
            "box.box.Box",
            "munch.Munch",
        ),
        Dictionary,
    ),
}

RECORDED = re.compile(
    r"functools\.partial|_?operator\.(getitem|or_)|types\.SimpleNamespace|argparse\.Namespace"
    r"|collections\.[A-Z]\w+"
    r"|decimal\.Decimal|fractions\.Fraction|re\._compile|uuid\.\w+|zoneinfo\.ZoneInfo(\._unpickle)?"
    r"|numpy\.random(\.\w+)*\.__?\w+"
    r"|(pytorch_lightning|lightning\.pytorch|lightning\.fabric|lightning_fabric)"
    r"\.(utilities\.enums|trainer\.states)\.\w+"
    r"|transformers\.(trainer_utils|training_args)\.\w+|accelerate\.utils\.dataclasses\.\w+"
)

_CLASS = re.compile(r"[\w.]+\._*[A-Z]\w*")
"""A name in the spelling of classes."""

_STANDARD = sys.stdlib_module_names | {
    module.partition(".")[0] for module in ("exceptions", *_compat_pickle.IMPORT_MAPPING)
}
"""The standard library, by its names in Python 3 and in Python 2, which protocol 2 writes."""

QUIET = re.compile(
    r"(builtins|typing|collections|functools|_?operator|decimal|fractions|re|uuid|zoneinfo|numpy"
    r"|torch\.optim|torch\.utils\.data|omegaconf"
    r"|pytorch_lightning|lightning|lightning_fabric|transformers|accelerate|mmengine|mmcv)\..*"
)
"""Names whose presence in a file tells a reader nothing."""


def stand_in(name: str, *, dictionary: bool = False) -> Callable[..., Any]:
    """What stands for the global ``name``; as a ``dictionary`` when the pickle sets items in it."""
    if name in DATA:
        return DATA[name]
    if dictionary:
        return Dictionary
    return _class(name, _Recorded if is_data(name) else StandIn)


def is_data(name: str) -> bool:
    """Whether ``name`` may be called, because what stands for it is data or writes the call down."""
    foreign = name.partition(".")[0] not in _STANDARD
    return name in DATA or bool(RECORDED.fullmatch(name)) or (foreign and bool(_CLASS.fullmatch(name)))


def _class(name: str, base: type[StandIn]) -> Any:
    module, _, last = name.rpartition(".")
    return type(base)(last, (base,), {"named": shown(name), "__module__": module, "__qualname__": last})

"""What stands for the classes and functions that a pickle names, so that none is imported.

Three layers, the first that fits:

* ``DATA``: constructors of ours for plain data (numpy, paths, dates, dictionaries of libraries).
* ``RECORDED``: calls that are written down and not made (enumerations, ``functools.partial``).
* everything else: a class of ours that keeps the state of its instances. *Calling* it is refused,
  because only a pickle that wants code to run has to call what is no data.
"""

import datetime
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from sslaudit_checkpoints.formats.arrays import Array, Dtype, array, scalar
from sslaudit_checkpoints.formats.globals import shown


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
    """``Outer.inner`` of a class that was not imported; nothing is looked up."""
    if isinstance(owner, type) and issubclass(owner, StandIn):
        inner = _class(f"{owner.named}.{name}", StandIn)
        return inner.__new__(inner)
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
    r"functools\.partial|operator\.getitem|types\.SimpleNamespace|numpy\.random(\.\w+)*\.__?\w+"
    r"|(pytorch_lightning|lightning\.pytorch|lightning\.fabric|lightning_fabric)"
    r"\.(utilities\.enums|trainer\.states)\.\w+"
    r"|transformers\.(trainer_utils|training_args)\.\w+|accelerate\.utils\.dataclasses\.\w+"
)

QUIET = re.compile(
    r"(builtins|typing|collections|functools|operator|numpy|torch\.optim|torch\.utils\.data|omegaconf"
    r"|pytorch_lightning|lightning|lightning_fabric|transformers|accelerate|mmengine|mmcv)\..*"
)
"""Names whose presence in a file tells a reader nothing."""


def stand_in(name: str, *, dictionary: bool = False) -> Callable[..., Any]:
    """What stands for the global ``name``; as a ``dictionary`` when the pickle sets items in it."""
    if name in DATA:
        return DATA[name]
    if dictionary:
        return Dictionary
    return _class(name, _Recorded if RECORDED.fullmatch(name) else StandIn)


def _class(name: str, base: type[StandIn]) -> Any:
    module, _, last = name.rpartition(".")
    return type(base)(last, (base,), {"named": shown(name), "__module__": module, "__qualname__": last})

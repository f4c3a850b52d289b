"""sslaudit: how good the representation of a pretrained encoder is on your data, and why.

Names are imported when they are first used, so ``import sslaudit`` loads no array library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sslaudit.audit import evaluate as evaluate
    from sslaudit.comparison import compare as compare
    from sslaudit.comparison import paired_difference as paired_difference
    from sslaudit.data import Dataset as Dataset
    from sslaudit.encoder import Encoder as Encoder
    from sslaudit.encoder import LoadAudit as LoadAudit
    from sslaudit.encoder import Override as Override
    from sslaudit.encoder import Preprocess as Preprocess
    from sslaudit.errors import CardError as CardError
    from sslaudit.errors import DataError as DataError
    from sslaudit.errors import EncoderError as EncoderError
    from sslaudit.errors import MetricError as MetricError
    from sslaudit.errors import OutputError as OutputError
    from sslaudit.errors import PluginError as PluginError
    from sslaudit.errors import RefError as RefError
    from sslaudit.errors import SslauditError as SslauditError
    from sslaudit.errors import StoreError as StoreError
    from sslaudit.errors import TrainingError as TrainingError
    from sslaudit.errors import UsageError as UsageError
    from sslaudit.extraction import extract as extract
    from sslaudit.figures import Bars as Bars
    from sslaudit.figures import Curve as Curve
    from sslaudit.figures import Histogram as Histogram
    from sslaudit.figures import Mark as Mark
    from sslaudit.figures import Matrix as Matrix
    from sslaudit.figures import Points as Points
    from sslaudit.figures import Scatter as Scatter
    from sslaudit.figures import Series as Series
    from sslaudit.figures import Waterfall as Waterfall
    from sslaudit.hookspecs import hookimpl as hookimpl
    from sslaudit.inputs import MetricInputs as MetricInputs
    from sslaudit.loading import load_dataset as load_dataset
    from sslaudit.loading import load_encoder as load_encoder
    from sslaudit.refs import DataRef as DataRef
    from sslaudit.refs import EncoderRef as EncoderRef
    from sslaudit.refs import Term as Term
    from sslaudit.report import ReportCard as ReportCard
    from sslaudit.report import read_card as read_card
    from sslaudit.report import write_card as write_card
    from sslaudit.results import Estimate as Estimate
    from sslaudit.results import Interval as Interval
    from sslaudit.specs import DatasetScheme as DatasetScheme
    from sslaudit.specs import EncoderScheme as EncoderScheme
    from sslaudit.specs import MethodSpec as MethodSpec
    from sslaudit.specs import MetricSpec as MetricSpec
    from sslaudit.specs import Needs as Needs
    from sslaudit.specs import Option as Option
    from sslaudit.specs import RecipeSpec as RecipeSpec
    from sslaudit.store import Features as Features

_HOMES = {
    "sslaudit.audit": ("evaluate",),
    "sslaudit.comparison": ("compare", "paired_difference"),
    "sslaudit.data": ("Dataset",),
    "sslaudit.encoder": ("Encoder", "LoadAudit", "Override", "Preprocess"),
    "sslaudit.errors": (
        "CardError",
        "DataError",
        "EncoderError",
        "MetricError",
        "OutputError",
        "PluginError",
        "RefError",
        "SslauditError",
        "StoreError",
        "TrainingError",
        "UsageError",
    ),
    "sslaudit.extraction": ("extract",),
    "sslaudit.figures": (
        "Bars",
        "Curve",
        "Histogram",
        "Mark",
        "Matrix",
        "Points",
        "Scatter",
        "Series",
        "Waterfall",
    ),
    "sslaudit.hookspecs": ("hookimpl",),
    "sslaudit.inputs": ("MetricInputs",),
    "sslaudit.loading": ("load_dataset", "load_encoder"),
    "sslaudit.refs": ("DataRef", "EncoderRef", "Term"),
    "sslaudit.report": ("ReportCard", "read_card", "write_card"),
    "sslaudit.results": ("Estimate", "Interval"),
    "sslaudit.specs": (
        "DatasetScheme",
        "EncoderScheme",
        "MethodSpec",
        "MetricSpec",
        "Needs",
        "Option",
        "RecipeSpec",
    ),
    "sslaudit.store": ("Features",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sslaudit' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__

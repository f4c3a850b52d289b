"""The factors of the theory of contrastive learning, as metrics and as plain functions on arrays.

Functions are imported when they are first used, so ``import sslaudit_theory`` loads no array library.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sslaudit.hookspecs import hookimpl
from sslaudit.specs import MetricSpec

if TYPE_CHECKING:
    from sslaudit_theory.centres import centre_overlap as centre_overlap
    from sslaudit_theory.centres import class_centres as class_centres
    from sslaudit_theory.centres import delta_mu as delta_mu
    from sslaudit_theory.centres import image_means as image_means
    from sslaudit_theory.centres import overlap_interval as overlap_interval
    from sslaudit_theory.centres import worst_pair as worst_pair
    from sslaudit_theory.positive_pairs import alignment as alignment
    from sslaudit_theory.positive_pairs import alignment_per_sample as alignment_per_sample
    from sslaudit_theory.positive_pairs import r_eps as r_eps
    from sslaudit_theory.positive_pairs import sup_alignment as sup_alignment

_HOMES = {
    "centres": (
        "centre_overlap",
        "class_centres",
        "delta_mu",
        "image_means",
        "overlap_interval",
        "worst_pair",
    ),
    "positive_pairs": ("alignment", "alignment_per_sample", "r_eps", "sup_alignment"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


@hookimpl
def sslaudit_metrics() -> Iterable[MetricSpec]:
    """``alignment`` and ``divergence``."""
    from sslaudit_theory.metrics import METRICS

    return METRICS


# Without a __dir__ that adds these names: the host reads every name of a plugin, and would load them all.
def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sslaudit_theory' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(f"sslaudit_theory.{_HOME[name]}"), name)
    return value

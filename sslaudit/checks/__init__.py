"""Guards that run before any score."""

from sslaudit.checks.data import check_data
from sslaudit.checks.encoder import (
    PROBE_IMAGES,
    check_behaviour,
    check_cache,
    check_load,
)
from sslaudit.checks.features import check_features
from sslaudit.checks.preprocessing import check_preprocessing
from sslaudit.checks.projections import check_projections

__all__ = [
    "PROBE_IMAGES",
    "check_behaviour",
    "check_cache",
    "check_data",
    "check_features",
    "check_load",
    "check_preprocessing",
    "check_projections",
]

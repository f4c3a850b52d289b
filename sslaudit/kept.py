"""Estimates that do not depend on the encoder: made once for all encoders of a run, and kept in the cache."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sslaudit.plan import PlannedMetric
from sslaudit.report import strict_json
from sslaudit.results import Estimate
from sslaudit.store import key_of, write_whole


@dataclass(frozen=True, slots=True)
class KeptEstimates:
    """The estimates of data-scoped metrics of one data set, seen through the same views."""

    memory: dict[str, dict[str, Estimate]]
    """By key; shared by the encoders of a run."""
    folder: Path
    facts: Mapping[str, object]
    """What decides the views and the labels."""

    def of(
        self, metric: PlannedMetric, seed: int, compute: Callable[[], dict[str, Estimate]]
    ) -> dict[str, Estimate]:
        """The estimates of ``metric``, computed where they are not kept. Raises ``StoreError``."""
        key = key_of(
            {
                **self.facts,
                "metric": metric.term,
                "version": metric.spec.version,
                "plugin": metric.plugin,
                "run": seed,
            }
        )
        if key not in self.memory:
            self.memory[key] = self._read(key) or self._computed(key, compute)
        return self.memory[key]

    def _computed(self, key: str, compute: Callable[[], dict[str, Estimate]]) -> dict[str, Estimate]:
        estimates = compute()
        with contextlib.suppress(TypeError, ValueError):  # columns of anybody's own kind are not kept
            write_whole(self._path(key), strict_json.dumps(_Kept(estimates)).encode())
        return estimates

    def _read(self, key: str) -> dict[str, Estimate] | None:
        from pydantic import TypeAdapter, ValidationError

        try:
            kept = TypeAdapter(_Kept).validate_json(self._path(key).read_bytes())
        except (OSError, ValidationError):  # not there, or of another sslaudit
            return None
        return kept.estimates

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


@dataclass(frozen=True, slots=True)
class _Kept:
    estimates: dict[str, Estimate]

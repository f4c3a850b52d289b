"""Runs one metric of the first-party plugins on arrays, with features on disk as in a real run."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from sslaudit.inputs import Labels, MetricInputs
from sslaudit.refs import Term
from sslaudit.results import Estimate
from sslaudit.specs import read_options
from sslaudit.store import Features, Parts
from sslaudit_probes.metrics import METRICS as PROBES
from sslaudit_theory.metrics import METRICS as THEORY

Measure = Callable[..., Estimate]

SPECS = {spec.name: spec for spec in (*THEORY, *PROBES)}


@pytest.fixture
def measure_term(tmp_path: Path) -> Measure:
    """``measure_term("knn(k=5)", views, labels, train, test)``: views (N, V, D), indices of both splits."""

    def measure(
        text: str,
        views: np.ndarray,
        labels: Sequence[int] | np.ndarray | None = None,
        train: Sequence[int] | np.ndarray = (),
        test: Sequence[int] | np.ndarray = (),
        classes: Sequence[str] | None = None,
        seed: int = 0,
    ) -> Estimate:
        term = Term.parse(text)
        spec = SPECS[term.name]
        parts = Parts(tmp_path / "features", len(views))
        parts.drop()
        for part in range(parts.count):
            block = parts.block(part)
            parts.write(part, np.asarray(views, dtype=np.float32)[block.start : block.stop])
        label_set = None
        if labels is not None:
            values = np.asarray(labels, dtype=np.int64)
            names = tuple(classes or (f"c{k}" for k in range(int(values.max()) + 1)))
            label_set = Labels(values=values, classes=names, train=np.asarray(train), test=np.asarray(test))
        answer = spec.compute(
            MetricInputs(
                spec,
                options=read_options(term.options, spec.options, text),
                seed=seed,
                features=Features(parts),
                labels=label_set,
            )
        )
        assert isinstance(answer, Estimate)
        return answer

    return measure

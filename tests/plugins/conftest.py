"""Runs one metric of the first-party plugins on arrays, with features on disk as in a real run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sslaudit.encoder import Encoder
from sslaudit.extraction import AlteredImages
from sslaudit.inputs import Labels, MetricInputs
from sslaudit.refs import Term
from sslaudit.results import Estimate
from sslaudit.specs import read_options
from sslaudit.store import Features, Parts
from sslaudit_probes.metrics import METRICS as PROBES
from sslaudit_theory.metrics import METRICS as THEORY

Measure = Callable[..., Any]

SPECS = {spec.name: spec for spec in (*THEORY, *PROBES)}


class ArrayPixels:
    """``PixelViews`` over an array (N, V, 3, H, W) uint8, whose transforms are as given."""

    def __init__(self, pixels: np.ndarray, transforms: Mapping[str, np.ndarray]) -> None:
        self.pixels = torch.from_numpy(pixels)
        self.given = dict(transforms)

    def transforms(self) -> dict[str, np.ndarray]:
        return self.given

    def chunks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        for start in range(0, len(self.pixels), 7):
            block = self.pixels[start : start + 7]
            yield slice(start, start + len(block)), block

    def head(self, images: int) -> torch.Tensor:
        return self.pixels[:images]

    def of(self, images: Sequence[int]) -> torch.Tensor:
        return self.pixels[torch.as_tensor(np.asarray(images))]


@pytest.fixture
def measure_term(tmp_path: Path) -> Measure:
    """``measure_term("knn(k=5)", views, labels, train, test)``: views (N, V, D), indices of both splits.

    ``pixels`` is (N, V, 3, H, W) uint8. The answer is an estimate, or several by name.
    """

    def measure(
        text: str,
        views: np.ndarray,
        labels: Sequence[int] | np.ndarray | None = None,
        train: Sequence[int] | np.ndarray = (),
        test: Sequence[int] | np.ndarray = (),
        classes: Sequence[str] | None = None,
        seed: int = 0,
        pixels: np.ndarray | None = None,
        results: Mapping[str, Estimate] | None = None,
        encoder: Encoder | None = None,
        transforms: Mapping[str, np.ndarray] | None = None,
        altered: AlteredImages | None = None,
    ) -> Any:
        term = Term.parse(text)
        spec = SPECS[term.name]
        parts = Parts(tmp_path / "features", len(views))
        parts.drop()
        for part in range(parts.count):
            block = parts.block(part)
            parts.write(part, np.asarray(views, dtype=np.float32)[block.start : block.stop])
        seen = np.zeros((*np.shape(views)[:2], 3, 1, 1), dtype=np.uint8) if pixels is None else pixels
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
                train=np.asarray(train, dtype=np.int64),
                pixels=ArrayPixels(seen, transforms or {}),  # type: ignore[arg-type]
                results=results,
                encoder=encoder,
                altered=altered,
            )
        )
        for estimate in answer.values() if isinstance(answer, Mapping) else (answer,):
            assert isinstance(estimate, Estimate)
            assert len(estimate.label) <= 26, "a terminal has a column of that width"
            for figure in estimate.figures:
                assert figure.note.endswith("."), figure.title
                assert 0 < len(figure.title) <= 70, figure.title
        return answer

    return measure

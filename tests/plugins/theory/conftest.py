"""The metric ``theorem1`` with the two concentrations that it reads."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from sslaudit.encoder import Encoder
from sslaudit.results import Estimate

Ladder = Callable[..., dict[str, Estimate]]


@pytest.fixture
def ladder(measure_term: Callable[..., Any]) -> Ladder:
    """``ladder(views, labels, test, pixels)``: the rungs by name; images not in ``test`` are for training."""

    def run(
        views: np.ndarray,
        labels: np.ndarray,
        test: np.ndarray,
        pixels: np.ndarray,
        *,
        norm: str = "sphere",
        images: int = 200,
        classes: list[str] | None = None,
        encoder: Encoder | None = None,
        results: Mapping[str, Estimate] | None = None,
    ) -> dict[str, Estimate]:
        train = np.setdiff1d(np.arange(len(labels)), test)
        given = {"train": train, "test": test, "classes": classes, "pixels": pixels}
        if results is None:
            results = {
                "concentration": measure_term(f"concentration(images={images})", views, labels, **given),
                "feature-concentration": measure_term(
                    f"feature-concentration(images={images},norm={norm})", views, labels, **given
                ),
            }
        answer = measure_term(
            f"theorem1(images={images},norm={norm})",
            views,
            labels,
            results=results,
            encoder=encoder,
            **given,
        )
        return dict(answer) if isinstance(answer, Mapping) else {"": answer}

    return run

"""What a metric receives, and the guard that it reads only what it declared."""

import hashlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder
from sslaudit.errors import MetricError
from sslaudit.extraction import AlteredImages, PixelViews
from sslaudit.results import Estimate
from sslaudit.specs import MetricSpec
from sslaudit.store import Features


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """Class labels and the split of one data set."""

    values: np.ndarray
    """(N,) int64, an index into ``classes``."""
    classes: tuple[str, ...]
    train: np.ndarray
    """Indices of the images that probes may fit on."""
    test: np.ndarray
    """Indices of the images that are reported on."""

    @classmethod
    def of(cls, data: Dataset) -> "Labels | None":
        """Those of a data set; None when it has none."""
        if data.labels is None:
            return None
        return cls(values=data.labels, classes=data.classes, train=data.train, test=data.test)


T = TypeVar("T")


class MetricInputs:
    """The inputs of one metric. Reading what ``spec.needs`` does not declare raises ``MetricError``."""

    def __init__(
        self,
        spec: MetricSpec,
        *,
        options: Mapping[str, Any],
        seed: int,
        features: Features | None = None,
        pixels: PixelViews | None = None,
        labels: Labels | None = None,
        train: np.ndarray | None = None,
        encoder: Encoder | None = None,
        altered: AlteredImages | None = None,
        results: Mapping[str, Estimate] | None = None,
        device: str = "cpu",
        held: dict[Hashable, Any] | None = None,
    ) -> None:
        self.spec = spec
        self.options = options
        self.seed = seed
        self._features = features
        self._pixels = pixels
        self._labels = labels
        self._train = np.empty(0, dtype=np.int64) if train is None else train
        self._encoder = encoder
        self._altered = altered
        self._results = results or {}
        self.device = device
        """Where tensors of this run are computed."""
        self._held = {} if held is None else held

    @property
    def embeddings(self) -> np.ndarray:
        """(N, D) float32: the identity view of each image."""
        return self._have(self._features, bool(self.spec.needs.embeddings), "embeddings").identity()

    @property
    def views(self) -> Features:
        """(N, V, D) on disk; ``chunks()`` reads it piece by piece."""
        return self._have(self._features, self.spec.needs.views > 0, "views")

    @property
    def pixel_views(self) -> PixelViews:
        """(N, V, 3, H, W) uint8, at the input size of the encoder; ``chunks()`` makes it piece by piece."""
        return self._have(self._pixels, self.spec.needs.pixel_views > 0, "pixel_views")

    @property
    def transforms(self) -> dict[str, np.ndarray]:
        """By name of a transform of the recipe, its strength in each view: (N, V) in [0, 1]."""
        needs = self.spec.needs
        drawn = needs.views > 0 or needs.pixel_views > 0 or needs.altered
        return self._have(self._pixels, drawn, "views").transforms()

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64, an index into ``classes``."""
        return self._label_set().values

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        return self._label_set().classes

    @property
    def train(self) -> np.ndarray:
        """Indices of the images that may be fitted on; known without labels too."""
        return self._train if self._labels is None else self._labels.train

    @property
    def test(self) -> np.ndarray:
        """Indices of the images that are reported on."""
        return self._label_set().test

    @property
    def encoder(self) -> Encoder:
        """The live encoder."""
        return self._have(self._encoder, self.spec.needs.encoder, "encoder")

    @property
    def altered(self) -> AlteredImages:
        """The images through alterations of their pixels, in the space that the metric reads."""
        return self._have(self._altered, self.spec.needs.altered, "altered")

    @property
    def results(self) -> Mapping[str, Estimate]:
        """Estimates of the metrics named in ``needs.results``."""
        return self._have(self._results, bool(self.spec.needs.results), "results")

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` gives, made once for all metrics of a run that read the same features.

        ``key`` names what it is and everything it depends on beside features, labels and seed.
        """
        if key not in self._held:
            self._held[key] = make()
        return cast(T, self._held[key])

    def rng(self) -> np.random.Generator:
        """A generator seeded by run seed and metric name: equal draws for every encoder."""
        digest = hashlib.sha256(f"{self.seed}/{self.spec.name}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "little"))

    @property
    def labels_if_any(self) -> Labels | None:
        """Labels and split, None where the data has none: for ``Needs(labels="optional")``."""
        return None if self._labels is None else self._label_set()

    def _label_set(self) -> Labels:
        return self._have(self._labels, bool(self.spec.needs.labels), "labels")

    def _have(self, value: T | None, declared: bool, what: str) -> T:
        if not declared:
            raise MetricError(f"metric '{self.spec.name}' reads {what} without declaring it in Needs.")
        if value is None:
            raise MetricError(f"metric '{self.spec.name}' was run without {what}.")
        return value

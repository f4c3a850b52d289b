"""Is the assumed normalisation the right one? Measured, since no file says."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sslaudit.data import Dataset, subset
from sslaudit.encoder import IMAGENET_MEAN, IMAGENET_STD
from sslaudit.extraction import Embedder, features_of
from sslaudit.results import Check, Interval
from sslaudit.stats import clopper_pearson
from sslaudit.store import Features

IMAGES = 500
_K = 5
_LEVEL = 0.95
_IMAGENET = ("ImageNet mean and std", IMAGENET_MEAN, IMAGENET_STD)
_COMMON = (
    _IMAGENET,
    ("pixels in [0, 1] (mean 0, std 1)", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ("pixels in [-1, 1] (mean and std 0.5)", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
)


def check_preprocessing(embedder: Embedder, data: Dataset, features: Features, *, cache: Path) -> list[Check]:
    """Warns when kNN is clearly better under another normalisation than the one that was assumed.

    Nothing when the normalisation is not assumed, or without two labelled classes. Accuracy is
    leave-one-out over at most 500 images, the identity view alone; assumed ImageNet values are held
    against pixels in [0, 1] and in [-1, 1], any others against ImageNet. ``features`` are those of
    ``data`` as assumed. Costs one forward pass of these images for each alternative; a later run
    reads them from ``cache``.
    """
    encoder, assumed = embedder.encoder, embedder.encoder.preprocess
    if not assumed.source.startswith("assumed") or encoder.modality != "image" or len(data.classes) < 2:
        return []
    sample = subset(data, max_images=IMAGES)
    row = {digest: i for i, digest in enumerate(data.digests)}  # equal pixels have equal identity views
    found = features.identity()[[row[digest] for digest in sample.digests]]
    if sample.labels is None or len(sample) < 2 or not np.isfinite(found).all():
        return []
    right = _correct(found, sample.labels)
    ours = (assumed.mean, assumed.std)
    others = _COMMON[1:] if ours == _IMAGENET[1:] else (_IMAGENET,)
    measured, better = [f"{right.mean():.3f} as assumed"], []
    for name, mean, std in others:
        other = embedder.of(replace(embedder.how, views=1), replace(assumed, mean=mean, std=std))
        found = features_of(other.encoder, sample, other.how, cache=cache, embedder=other).identity()
        if not np.isfinite(found).all():
            continue
        correct = _correct(found, sample.labels)
        measured.append(f"{correct.mean():.3f} with {name}")
        interval = _difference(correct, right, 1 - (1 - _LEVEL) / len(others))
        if interval.low > 0:
            better.append((correct.mean() - right.mean(), interval, _flags(mean, std)))
    about = f"kNN accuracy on {len(sample)} images: {', '.join(measured)}"
    if not better:
        return [Check(name="preprocessing", status="pass", message=about)]
    gain, interval, flags = max(better)
    message = (
        f"the assumed normalisation is likely wrong. {about}; "
        f"difference {gain:+.3f} [{interval.low:.3f}, {interval.high:.3f}]. Try {flags}"
    )
    return [Check(name="preprocessing", status="warn", message=message)]


def _correct(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) bool: whether most of the nearest other images by cosine have the image's own label."""
    from sklearn.neighbors import NearestNeighbors

    k = min(_K, len(features) - 1)
    search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute")
    near = search.fit(features.astype(np.float64)).kneighbors(return_distance=False)  # leaves itself out
    votes = np.zeros((len(labels), labels.max() + 1))
    for rank in range(k):  # the nearer one decides between classes with equal votes
        votes[np.arange(len(labels)), labels[near[:, rank]]] += 1 + 2.0 ** -(rank + k)
    correct: np.ndarray = votes.argmax(axis=1) == labels
    return correct


def _difference(a: np.ndarray, b: np.ndarray, level: float) -> Interval:
    """Interval of mean(a) - mean(b), paired by image: exact over the images on which they differ.

    Source: McNemar, Psychometrika 1947; the exact form conditions on the number of such images.
    """
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    if not only_a + only_b:
        return Interval(low=0.0, high=0.0, level=level, method="exact McNemar")
    share = clopper_pearson(only_a, only_a + only_b, level)
    scale = (only_a + only_b) / len(a)
    return Interval(
        low=scale * (2 * share.low - 1),
        high=scale * (2 * share.high - 1),
        level=level,
        method="exact McNemar",
    )


def _flags(mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    """``--mean 0.5 --std 0.5``: what selects a normalisation on the command line."""
    texts = (
        ",".join(f"{v:g}" for v in (values[:1] if len(set(values)) == 1 else values))
        for values in (mean, std)
    )
    return "--mean {} --std {}".format(*texts)

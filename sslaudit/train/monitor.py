"""Whether a run collapses: what the embeddings of some training images look like after an epoch."""

import math
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sslaudit.checks import check_features, check_projections
from sslaudit.data import Dataset
from sslaudit.data.dataset import only
from sslaudit.encoder import Preprocess
from sslaudit.errors import UsageError
from sslaudit.store import InMemory
from sslaudit.train.choices import Choices
from sslaudit.train.methods import Method
from sslaudit.train.modes import evaluating
from sslaudit.views import identity_view

Online = Literal["knn", "nearest-centre"]

IMAGES, FEWEST = 512, 64
"""Images that are looked at: at most so many, and at most a quarter unless that is too few."""
REFERENCES = 1536
"""Further images, at most, that lend their labels to the online accuracy."""
NEIGHBOURS, TEMPERATURE = 20, 0.07
"""k and T of ``knn``, as in the metric of that name."""
_ROWS = 256
"""Images in one forward pass."""
_CALLED = {
    "finite": {"fail": "NOT FINITE"},
    "non-constant": {"fail": "COLLAPSED", "warn": "near collapse"},
    "rank": {"fail": "COLLAPSED", "warn": "dimensional collapse"},
    "projections": {"fail": "COLLAPSED", "warn": "near collapse"},
}
"""What a check that does not pass is called, in capitals as on a card."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What one look at the embeddings gave."""

    spread: float | None
    """Standard deviation of the l2-normalised embeddings, root of the sum over dimensions: 1 when their
    mean is 0, 0 when they collapsed to a point. None where some are not finite."""
    rank: float | None
    """Effective rank of the embeddings as they are, from 1 to their dimensions; 0 when all are zeros.
    None where some are not finite."""
    online: float | None = None
    """Accuracy in [0, 1]; None when nobody asked for it."""
    collapsed: str | None = None
    """A sentence by the rules of ``sslaudit.checks.features``: COLLAPSED when images have one embedding
    or embeddings vary in one direction alone, NOT FINITE, or a warning in small letters."""


class Monitor:
    """Looks at some training images as they are in evaluation. Held-out images are never read.

    The images are drawn by the seed and decoded once. For the online accuracy they are named by other
    training images with labels; the encoder is trained on both, so it is no accuracy of a card.
    """

    def __init__(
        self,
        data: Dataset,
        preprocess: Preprocess,
        choices: Choices,
        device: str,
        online: Online | None = None,
    ) -> None:
        """Raises ``UsageError`` when there are no labels that ``online`` could read."""
        self._preprocess, self._device, self._online = preprocess, device, read_online(online)
        order = np.random.default_rng((choices.seed, 1)).permutation(data.train)
        quarter = len(order) // 4
        looked = order[: min(IMAGES, max(FEWEST, quarter) if online is None else max(1, quarter))]
        self._looked = only(data, looked.tolist())
        self._images = self._decode(data, looked)
        if online is None:
            return
        labels = data.labels
        if labels is None or len(np.unique(labels[data.train])) < 2:
            has = "none" if labels is None else "one class alone"
            raise UsageError(
                f"--online {online} reads labels of training images, and {data.ref} has {has}; leave it out."
            )
        others = order[len(looked) : len(looked) + REFERENCES]
        self._references = self._decode(data, others)
        self._labels, self._named = (torch.from_numpy(labels[some]).to(device) for some in (looked, others))

    def look(self, method: Method) -> Health:
        """How the backbone of ``method`` embeds the images, in float32.

        Modes, buffers and generators are left as they were.
        """
        with evaluating(method, self._device):
            h = self._embed(method.backbone, self._images)
            rows = h.cpu().numpy()
            collapsed = self._collapsed(rows, method)
            if not np.isfinite(rows).all():
                return Health(spread=None, rank=None, collapsed=collapsed)
            return Health(
                spread=spread(h),
                rank=effective_rank(h),
                online=self._accuracy(method, h),
                collapsed=collapsed,
            )

    def _accuracy(self, method: Method, h: Tensor) -> float | None:
        if self._online is None:
            return None
        named = by_neighbours if self._online == "knn" else by_centre
        found = named(h, self._embed(method.backbone, self._references), self._named)
        return float((found == self._labels).float().mean())

    def _collapsed(self, h: np.ndarray, method: Method) -> str | None:
        """By the embeddings (n, D); where they are healthy, by the projections that views are compared in."""

        def project(rows: np.ndarray) -> np.ndarray:
            z: np.ndarray = method.projector(torch.from_numpy(rows).to(self._device)).float().cpu().numpy()
            return z

        features = InMemory(h)
        checks = check_features(features, self._looked)
        if method.n_views > 1 and all(check.status != "fail" for check in checks):
            checks = [check_projections(features, project, self._looked), *checks]
        for check in checks:
            if name := _CALLED.get(check.name, {}).get(check.status):
                return f"{name}: {check.message}."
        return None

    def _embed(self, backbone: nn.Module, images: Tensor) -> Tensor:
        """(n, D) float32 of (n, 3, H, W) uint8."""
        batches = torch.split(images, _ROWS)
        return torch.cat(
            [backbone(self._preprocess.normalise(batch.to(self._device))).float() for batch in batches]
        )

    def _decode(self, data: Dataset, images: np.ndarray) -> Tensor:
        views = np.stack([identity_view(data.read(int(i)), self._preprocess) for i in images])
        return torch.from_numpy(views).permute(0, 3, 1, 2)


def read_online(text: str | None) -> Online | None:
    """``text`` as what names images. Raises ``UsageError`` for anything else."""
    if text not in (None, *get_args(Online)):
        raise UsageError(f"--online {text} is none of {', '.join(get_args(Online))}.")
    return cast(Online | None, text)


def spread(h: Tensor) -> float:
    """Root of the summed variances of the l2-normalised rows of (n, D): in [0, 1]."""
    return float(functional.normalize(h.double(), dim=1).var(dim=0, correction=0).sum().sqrt())


def effective_rank(h: Tensor) -> float:
    """exp of the entropy of the singular values of (n, D), as shares of their sum; 0 for zeros alone.

    What the metric ``spectrum`` calls RankMe, which adds an eps of 1e-7 to the shares.
    Source: Roy and Vetterli, EUSIPCO 2007, Eq. 1 to 4.
    """
    values = torch.linalg.svdvals(h.double())
    if not values.any():
        return 0.0
    return math.exp(torch.special.entr(values / values.sum()).sum())


def by_neighbours(query: Tensor, references: Tensor, labels: Tensor) -> Tensor:
    """Labels (Q,) of (Q, D) by the votes exp(cosine / T) of the k nearest of (N, D) with labels (N,).

    Source: Wu et al., CVPR 2018, section 3.4.
    """
    cosines = functional.normalize(query, dim=1) @ functional.normalize(references, dim=1).T
    nearest = cosines.topk(min(NEIGHBOURS, len(references)), dim=1)
    votes = cosines.new_zeros(len(query), int(labels.max()) + 1)
    return votes.scatter_add_(1, labels[nearest.indices], (nearest.values / TEMPERATURE).exp()).argmax(dim=1)


def by_centre(query: Tensor, references: Tensor, labels: Tensor) -> Tensor:
    """Labels (Q,) of (Q, D) by the nearest mean of the classes of (N, D) with labels (N,), l2-normalised.

    Source: Huang et al., ICLR 2023, G_f.
    """
    rows = functional.normalize(references, dim=1)
    classes = torch.unique(labels)
    centres = torch.stack([rows[labels == k].mean(dim=0) for k in classes])
    named: Tensor = classes[torch.cdist(functional.normalize(query, dim=1), centres).argmin(dim=1)]
    return named

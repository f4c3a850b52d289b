"""Audit on data of yours: a map-style data set of PyTorch, a train and a test part, and a refusal.

python examples/audit_your_own_dataset.py
"""

import numpy as np
import torch
from torch.utils.data import Dataset

import sslaudit


class Stripes(Dataset):
    """Images of stripes in three directions, drawn from a seed: what your own class would read from disk."""

    classes = ("across", "down", "slanted")

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        rng = np.random.default_rng((self.seed, index))
        y, x = np.mgrid[:16, :16]
        label = index % 3
        wave = np.sin((y, x, x + y)[label] + rng.uniform(0, 6)) + rng.normal(0, 0.4, (3, 16, 16))
        return torch.from_numpy(np.clip(0.5 + wave / 4, 0, 1)), label


encoder = torch.nn.Sequential(torch.nn.AvgPool2d(2), torch.nn.Flatten())
preprocess = sslaudit.Preprocess(size=(16, 16), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")

card = sslaudit.evaluate(
    encoder,
    {"train": Stripes(120, seed=0), "test": Stripes(60, seed=1)},
    metrics="knn,nearest-centre,alignment,divergence",
    preprocess=preprocess,
    recipe="crop(scale=0.5)",
    views=4,
)
print(f"{card.data.images} images, {card.data.classes} classes, splits {card.data.splits}")
for metric in card.metrics:
    print(f"{metric.term:<16} {metric.value:.3f}")


# The encoder normalises and the recipe augments, so a data set must do neither.
class Normalised(Stripes):
    """The same with a transform that most training code ends with."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image, label = super().__getitem__(index)
        return (image - 0.5) / 0.5, label


try:
    sslaudit.load_dataset(Normalised(12, seed=2))
except sslaudit.DataError as refusal:
    print(refusal)

"""How alike encoders see the same images, and which metrics go with accuracy.

python examples/similar_encoders.py

Six encoders of the embedded digits: raw pixels, a small convolutional network with random weights from
two seeds, and the same network trained to tell the digits apart, from both seeds, and for a moment only.
"""

import textwrap

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import sslaudit
from sslaudit.correlation import of_metrics
from sslaudit_probes.between.similarity import debiased_linear_cka, mutual_knn

METRICS = "linear-probe,knn,nearest-centre,silhouette,neural-collapse,alignment,divergence"
ACCURACY = "linear-probe"
NEIGHBOURS, SHOWN = 10, 12

digits = sslaudit.load_dataset("digits")
preprocess = sslaudit.Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")
images = torch.from_numpy(np.stack([digits.read(i) for i in range(len(digits))])).permute(0, 3, 1, 2)
images = (images / 255 - 0.5) / 0.5
labels = torch.from_numpy(digits.labels)
train = torch.from_numpy(digits.train)


def network(seed: int, steps: int = 0) -> nn.Module:
    """(B, 3, 8, 8) to (B, 48), after some steps of learning the labels of the training images."""
    torch.manual_seed(seed)
    layers = nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 48, 3, stride=2, padding=1), nn.ReLU()
    encoder = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = nn.Linear(48, 10)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(steps):
        batch = train[torch.randint(len(train), (64,))]
        loss = functional.cross_entropy(head(encoder(images[batch])), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return encoder.eval()


encoders = {
    "pixels": nn.Flatten(),
    "random 0": network(0),
    "random 1": network(1),
    "20 steps": network(0, steps=20),
    "trained 0": network(0, steps=300),
    "trained 1": network(1, steps=300),
}


def features(module: nn.Module) -> Tensor:
    """(n, D) of the held-out digits."""
    with torch.inference_mode():
        return module(images[torch.from_numpy(digits.test)])


def matrix(title: str, compare: object) -> None:
    """Values of all pairs, with the half width of the widest interval."""
    print(f"\n{title}\n" + " " * 13 + "".join(f"{name:>11}" for name in encoders))
    widest = 0.0
    for name, own in seen.items():
        found = [compare(own, other) for other in seen.values()]
        widest = max(widest, *((one.interval.high - one.interval.low) / 2 for one in found))
        print(f"{name:<13}" + "".join(f"{one.value:>11.2f}" for one in found))
    print(f"95 % intervals are at most +- {widest:.2f}; unrelated encoders have {found[0].chance:.2f}")


seen = {name: features(module) for name, module in encoders.items()}
matrix("linear CKA, debiased", debiased_linear_cka)
matrix(f"mutual {NEIGHBOURS} nearest neighbours", lambda f, g: mutual_knn(f, g, NEIGHBOURS))

cards = [
    sslaudit.evaluate(
        module,
        "digits",
        metrics=METRICS,
        preprocess=preprocess,
        recipe="crop(scale=0.6)",
        views=4,
        precision="fp32",
        anchors=False,
    )
    for module in encoders.values()
]
print(f"\n{ACCURACY:<13}" + "".join(f"{card.metric(ACCURACY).value:>11.3f}" for card in cards))

found = of_metrics(cards, ACCURACY)
print(f"\n{'goes with ' + ACCURACY:<36}{'Spearman':>9}{'p':>8}{'Kendall':>9}   as expected")
named = {True: "yes", False: "no", None: "-"}
for row in found.rows[:SHOWN]:
    rank, pairs = row.spearman, row.kendall
    if rank.value is not None and pairs.value is not None:
        print(f"{row.name:<36}{rank.value:>9.2f}{rank.p:>8.3f}{pairs.value:>9.2f}   {named[row.as_expected]}")
print(f"\n{textwrap.fill(found.note, 80)}")

print(
    """
What it teaches. The two trained networks are most alike by both measures, from
whichever seed they started; two random ones are much less so. Metrics that read
distances with labels (kNN, class centres, silhouette) go with the accuracy of a
linear probe here; six encoders prove it for few of them."""
)

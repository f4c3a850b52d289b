"""Five encoders of the embedded digits on the ladder from Theorem 1 as printed to the measured error.

python examples/digits_ladder.py

Pixels, their first 16 principal components, 9 linear discriminants, the hidden layer of a small
network, and its softmax, which is trained to collapse every class to a corner. All are made from the
labelled training images, so that their classes are as clear as they get.
"""

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn

import sslaudit

digits = sslaudit.load_dataset("digits")
preprocess = sslaudit.Preprocess(size=(8, 8), mean=(0.0,) * 3, std=(1.0,) * 3, source="given")
pixels = np.stack([digits.read(i)[..., 0].ravel() / 255 for i in digits.train])
labels = digits.labels[digits.train]


class Gray(nn.Module):
    """(B, 3, 8, 8) to (B, 64): one channel of gray images."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, 0].flatten(1)


def linear(weights: np.ndarray, bias: np.ndarray) -> nn.Linear:
    """The layer x -> x W + b of given numbers."""
    layer = nn.Linear(*weights.shape)
    layer.weight.data = torch.tensor(weights.T, dtype=torch.float32)
    layer.bias.data = torch.tensor(bias, dtype=torch.float32)
    return layer


pca = PCA(16).fit(pixels)
lda = LinearDiscriminantAnalysis().fit(pixels, labels)
mlp = MLPClassifier((32,), max_iter=1000, random_state=0).fit(pixels, labels)
hidden = nn.Sequential(Gray(), linear(mlp.coefs_[0], mlp.intercepts_[0]), nn.ReLU())

encoders = {
    "pixels": Gray(),
    "PCA-16": nn.Sequential(Gray(), linear(pca.components_.T, -pca.mean_ @ pca.components_.T)),
    "LDA-9": nn.Sequential(Gray(), linear(lda.scalings_[:, :9], -lda.xbar_ @ lda.scalings_[:, :9])),
    "MLP hidden-32": hidden,
    "MLP softmax": nn.Sequential(hidden, linear(mlp.coefs_[1], mlp.intercepts_[1]), nn.Softmax(dim=1)),
}
print("encoder        NC error  max cos   rho*   rho  CDNV  Cantelli  held back by")
for name, module in encoders.items():
    card = sslaudit.evaluate(
        module,
        "digits",
        metrics="divergence,theorem1",
        preprocess=preprocess,
        recipe="crop(scale=0.6)",
        views=16,
        views_mode="bank",
    )
    print(name, {m.name: m.value for m in card.metrics})

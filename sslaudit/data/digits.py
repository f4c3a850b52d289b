"""The embedded data: 1,797 handwritten digits, 8 x 8 pixels, from scikit-learn (UCI, BSD)."""

import hashlib

import numpy as np

from sslaudit.data.dataset import Dataset
from sslaudit.data.examine import thumb_of
from sslaudit.errors import UsageError
from sslaudit.refs import DataRef

_PALEST = 0.5
"""The least share of red, green or blue in a coloured ink."""


def open_digits(ref: DataRef) -> Dataset:
    """The digits as (8, 8, 3) uint8: gray levels 0 to 16 scaled to 0 to 255.

    With ``ink=random`` each is written in a colour of its own on black, which says nothing of its class.
    """
    from sklearn.datasets import load_digits

    if ref.locator not in ("", "digits"):
        raise UsageError(f"'{ref}': the embedded data is written digits, with nothing behind it.")
    source = load_digits()
    gray = np.rint(source.images * (255 / 16)).astype(np.uint8)
    images = np.repeat(gray[..., None], 3, axis=-1)
    if ref.option("ink") == "random":
        ink = np.random.default_rng(0).uniform(_PALEST, 1, (len(images), 1, 1, 3))
        images = np.rint(images * ink).astype(np.uint8)
    return Dataset.build(
        ref=str(ref),
        read=lambda i: images[i],
        digests=[hashlib.sha256(image.tobytes()).hexdigest() for image in images],
        class_names=[str(label) for label in source.target],
        thumbs=np.stack([thumb_of(image) for image in images]),
    )

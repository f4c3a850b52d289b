"""Models whose weights packages ship load as what is on record of them, and suites have their images."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.models import squeezenet1_1
from torchvision.transforms import functional as images

from registry import fetch
from sslaudit import load_dataset, load_encoder
from sslaudit.data import subset
from sslaudit.named import Model, read_suite
from sslaudit.named.models import models

pytestmark = pytest.mark.network

SHIPPED = {model.name: model for model in models() if model.weights}


@pytest.mark.parametrize("model", SHIPPED.values(), ids=SHIPPED)
def test_the_digest_is_that_of_the_loaded_encoder(model: Model) -> None:
    encoder = load_encoder(model.at(fetch.weights(model)))
    assert encoder.digest == model.digest
    assert encoder.load.matched == encoder.load.expected


def test_the_converted_squeezenet_knows_photos(photos: list[tuple[Path, int]]) -> None:
    network = squeezenet1_1(weights=None).eval()
    file = fetch.weights(SHIPPED["squeezenet-1.1"])
    network.load_state_dict(torch.load(file, weights_only=True))
    right = 0
    for path, label in photos:
        with Image.open(path) as photo:
            pixels = images.to_tensor(photo.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
        inputs = images.normalize(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        with torch.inference_mode():
            right += label in network(inputs[None])[0].topk(5).indices
    assert right >= 18


def test_the_emoji_are_those_of_their_suite(emoji: Path) -> None:
    suite = read_suite("emoji")
    chosen = subset(load_dataset(emoji), max_images=suite.max_images, per_class=suite.per_class)
    assert chosen.digest == suite.digest

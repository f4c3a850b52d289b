"""Real ImageNet weights on real images: the embeddings are timm's own, and the numbers make sense."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from sslaudit import Encoder, load_encoder
from sslaudit.views import identity_view
from tests.conftest import Run

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def encoder(lite0: Path) -> Encoder:
    return load_encoder(f"file,arch=timm:tf_efficientnet_lite0:{lite0}")


@pytest.fixture(scope="module")
def reference(lite0: Path) -> torch.nn.Module:
    """timm's model with the same weights, brought over in order of definition, not by name."""
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = torch.load(lite0, map_location="cpu", weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    return model.eval()


def test_it_loads_whole_with_the_right_preprocessing(encoder: Encoder) -> None:
    assert encoder.load.matched == encoder.load.expected > 200
    assert encoder.load.ignored == ("classifier (2 tensors)",)
    assert encoder.preprocess.mean == encoder.preprocess.std == (0.5, 0.5, 0.5)
    assert encoder.preprocess.size == (224, 224)
    assert encoder.dim == 1280


def test_embeddings_and_predictions_are_those_of_timm(
    encoder: Encoder, reference: torch.nn.Module, photos: list[tuple[Path, int]]
) -> None:
    config = timm.data.resolve_model_data_config(reference)
    transform = timm.data.create_transform(**config, is_training=False)
    right = 0
    assert len(photos) == 20
    for path, label in photos:
        with Image.open(path) as file:
            image = file.convert("RGB")
        theirs = transform(image)[None]
        pixels = torch.from_numpy(identity_view(np.asarray(image), encoder.preprocess).copy())
        ours = encoder.preprocess.normalise(pixels.permute(2, 0, 1)[None])
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
        with torch.inference_mode():
            expected = reference.forward_head(reference.forward_features(theirs), pre_logits=True)
            embedding = encoder.embed(ours)
            torch.testing.assert_close(embedding, expected, rtol=1e-4, atol=1e-5)
            right += int(reference.classifier(embedding).argmax()) == label
    assert right >= 18


def test_pretrained_is_ahead_of_untrained_on_a_real_folder(run: Run, emoji: Path, lite0: Path) -> None:
    ref = f"file,arch=timm:tf_efficientnet_lite0:{lite0}"
    choices = ("--per-class", "12", "--metrics", "knn", "--format", "json")
    done = run("evaluate", ref, "--data", str(emoji), *choices)
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    assert len(card["data"]["classes"]) == 9
    anchors = {anchor["name"]: anchor["readings"][0] for anchor in card["anchors"]}
    ours, control = card["metrics"][0]["interval"], anchors["untrained copy"]
    assert ours["low"] > control["interval"]["high"]
    assert control["difference_interval"]["low"] > 0

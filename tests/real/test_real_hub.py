"""Real weights in the layout of a hub repository: the same features as through timm."""

from pathlib import Path

import pytest
import timm
import torch
from timm.models import save_for_hf

from sslaudit import load_encoder

pytestmark = pytest.mark.network


def test_a_folder_in_hub_layout_gives_timms_features(lite0: Path, tmp_path: Path) -> None:
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    state = torch.load(lite0, map_location="cpu", weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    save_for_hf(model, tmp_path, safe_serialization=True)
    encoder = load_encoder(f"hf:{tmp_path}")
    assert encoder.load.ignored == ("classifier (2 tensors)",)
    assert encoder.load.matched == encoder.load.expected == len(state) - 2
    assert encoder.preprocess.mean == encoder.preprocess.std == (0.5, 0.5, 0.5)
    images = torch.randn(4, 3, *encoder.preprocess.size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(images), pre_logits=True)
        torch.testing.assert_close(encoder.embed(images), expected, rtol=1e-5, atol=1e-5)

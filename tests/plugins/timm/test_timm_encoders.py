"""``timm:NAME``: timm's own model and preprocessing; what cannot be had is said in a line."""

import pytest
import timm
import torch

from sslaudit import EncoderError, UsageError, load_encoder
from sslaudit.loading import load_untrained
from tests.conftest import Run


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_050", "test_vit"])
def test_untrained_is_timms_model_of_that_seed(name: str) -> None:
    encoder = load_untrained(f"timm:{name}", seed=3)
    torch.manual_seed(3)
    model = timm.create_model(name, pretrained=False, num_classes=0).eval()
    config = timm.data.resolve_model_data_config(model)
    images = torch.randn(2, *config["input_size"])
    with torch.inference_mode():
        torch.testing.assert_close(encoder.embed(images), model(images))
    assert encoder.dim == model.num_features
    assert encoder.preprocess.size == config["input_size"][1:]
    assert encoder.preprocess.mean == config["mean"]
    assert encoder.preprocess.std == config["std"]
    assert encoder.preprocess.interpolation == config["interpolation"]
    assert encoder.preprocess.crop == config["crop_pct"]
    assert encoder.preprocess.source == "timm"
    assert encoder.facts == {}, "a control has no licence and no pretraining"


def test_pooling_and_size_are_options_and_part_of_the_identity() -> None:
    plain, pooled = load_untrained("timm:resnet18"), load_untrained("timm,pool=max,size=64:resnet18")
    assert pooled.preprocess.size == (64, 64)
    assert plain.digest != pooled.digest
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert not torch.allclose(plain.embed(images), pooled.embed(images))
    vit = load_untrained("timm,size=96:test_vit")
    with torch.inference_mode():
        assert vit.embed(torch.randn(1, 3, 96, 96)).shape == (1, vit.dim)
    with pytest.raises(EncoderError, match="timm cannot build"):
        load_untrained("timm,pool=sideways:resnet18")
    with pytest.raises(UsageError, match="no option 'pol'"):
        load_untrained("timm,pol=max:resnet18")


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(EncoderError, match=r"timm has no model 'resnet81'\. Did you mean resnet18"):
        load_encoder("timm:resnet81")


def test_weights_that_cannot_be_had_are_one_line(run: Run) -> None:
    done = run("evaluate", "timm:resnet18", "--data", "digits", env={"HF_HUB_OFFLINE": "1", "HF_HOME": "hub"})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "the weights of timm:resnet18 are not in the local cache" in line
    assert "file,arch=timm:resnet18:PATH" in line

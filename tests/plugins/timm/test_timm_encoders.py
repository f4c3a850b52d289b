"""``timm:NAME``: timm's own model and preprocessing; what cannot be had is said in a line."""

from pathlib import Path

import pytest
import timm
import torch
from timm.models import save_for_hf

from sslaudit import EncoderError, UsageError, load_encoder
from sslaudit.errors import WeightsMismatch
from sslaudit.loading import load_untrained
from sslaudit.refs import EncoderRef
from sslaudit_timm.load import resolve
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
    assert done.stderr.splitlines() == [
        "error: the weights of timm:resnet18: 'timm/resnet18.a1_in1k' is not in the local cache (hub/hub) "
        "and offline mode is on. With a file of your own: file,arch=timm:resnet18:PATH."
    ]


def test_weights_that_are_not_on_the_hub_are_not_fetched_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    name = next(
        name
        for name in timm.list_pretrained("*")
        if not (record := timm.models.get_pretrained_cfg(name)).hf_hub_id and record.url
    )
    with pytest.raises(EncoderError, match=rf"the weights of timm:{name}, from http.*offline mode is on"):
        load_encoder(f"timm:{name}")
    assert list(tmp_path.iterdir()) == []
    ref = EncoderRef("timm", name)
    assert resolve(ref).name.startswith("http")


def test_a_name_without_weights_names_those_that_have_them() -> None:
    with pytest.raises(
        EncoderError, match=r"timm has no pretrained weights for 'resnet18\.other_tag'\. It has them"
    ):
        load_encoder("timm:resnet18.other_tag")
    with pytest.raises(EncoderError, match="timm has no pretrained weights for 'vit_base_patch16_18x2_224'"):
        load_encoder("timm:vit_base_patch16_18x2_224")


def test_a_pooling_that_needs_other_weights_is_a_mismatch(tmp_path: Path) -> None:
    model = timm.create_model("test_vit", num_classes=7)
    save_for_hf(model, tmp_path, safe_serialization=True)
    whole = load_encoder(f"timm:local-dir:{tmp_path}")
    assert whole.load.matched == whole.load.expected == len(whole.module.state_dict())
    assert whole.load.ignored == ("head (2 tensors)",)
    with pytest.raises(WeightsMismatch, match=r"missing: fc_norm\.bias, fc_norm\.weight"):
        load_encoder(f"timm,pool=avg:local-dir:{tmp_path}")

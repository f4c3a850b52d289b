"""``hf:FOLDER``: both formats give the features of the library that defines them, or say why not."""

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sslaudit.encoder import Encoder, Override
from sslaudit.errors import EncoderError, UsageError, WeightsMismatch
from sslaudit.loading import load_encoder, load_untrained
from tests.plugins.hub.conftest import timm_folder

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers as hf

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
TEXT |= {"vocab_size": 9, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
MAPS: dict[str, Any] = {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]}


def cls(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The first token."""
    return model(pixel_values=x).last_hidden_state[:, 0]


def mean(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The mean over tokens."""
    return model(pixel_values=x).last_hidden_state.mean(1)


def pooler(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The model's own pooled output."""
    return model(pixel_values=x).pooler_output.flatten(1)


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[..., torch.Tensor], str, tuple[str, ...]]] = {
    "vit": (lambda: hf.ViTModel(hf.ViTConfig(**SMALL)), cls, "cls", ()),
    "vit classifier": (
        lambda: hf.ViTForImageClassification(hf.ViTConfig(**SMALL)),
        lambda m, x: cls(m.vit, x),
        "cls",
        ("classifier (2 tensors)",),
    ),
    "masked autoencoder": (
        lambda: hf.ViTMAEForPreTraining(
            hf.ViTMAEConfig(
                **SMALL,
                mask_ratio=0.0,
                decoder_hidden_size=16,
                decoder_num_hidden_layers=1,
                decoder_num_attention_heads=2,
                decoder_intermediate_size=16,
            )
        ),
        lambda m, x: cls(m.vit, x),
        "cls",
        ("decoder (24 tensors)",),
    ),
    "dinov2 with registers": (
        lambda: hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**SMALL)),
        cls,
        "cls",
        (),
    ),
    "i-jepa": (lambda: hf.IJepaModel(hf.IJepaConfig(**SMALL)), mean, "mean", ()),
    "resnet": (lambda: hf.ResNetModel(hf.ResNetConfig(embedding_size=8, **MAPS)), pooler, "pooler", ()),
    "convnext": (
        lambda: hf.ConvNextForImageClassification(hf.ConvNextConfig(**MAPS)),
        lambda m, x: pooler(m.convnext, x),
        "pooler",
        ("classifier (2 tensors)",),
    ),
    "swin": (
        lambda: hf.SwinModel(
            hf.SwinConfig(
                embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4, image_size=32, patch_size=4
            )
        ),
        pooler,
        "pooler",
        (),
    ),
    "clip": (
        lambda: hf.CLIPModel(hf.CLIPConfig(text_config=TEXT, vision_config=SMALL)),
        lambda m, x: m.vision_model(pixel_values=x).pooler_output,
        "pooler",
        (
            "logit_scale (1 tensor)",
            "text_model (20 tensors)",
            "text_projection (1 tensor)",
            "visual_projection (1 tensor)",
        ),
    ),
    "timm wrapper": (
        lambda: hf.TimmWrapperForImageClassification(
            hf.TimmWrapperConfig(
                architecture="resnet18",
                num_labels=3,
                pretrained_cfg={"input_size": [3, 64, 64], "mean": [0.1] * 3, "std": [0.2] * 3},
            )
        ),
        lambda m, x: m.timm_model.forward_head(m.timm_model.forward_features(x), pre_logits=True),
        "pooler",
        ("fc (2 tensors)",),
    ),
}


def saved(model: nn.Module, folder: Path) -> Path:
    """``folder`` with the model in it, saved by transformers itself."""
    folder.mkdir(exist_ok=True)
    model.eval().save_pretrained(folder)  # type: ignore[operator]
    return folder


def embedded(encoder: Encoder, *, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Two random images of the encoder's size, and their embeddings."""
    images = torch.randn(2, 3, *encoder.preprocess.size, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        return images, encoder.embed(images)


@pytest.mark.parametrize("case", CASES)
def test_a_transformers_folder_gives_the_features_of_the_model_that_was_saved(
    case: str, tmp_path: Path
) -> None:
    build, reference, pool, ignored = CASES[case]
    torch.manual_seed(0)
    model = build()
    encoder = load_encoder(f"hf:{saved(model, tmp_path)}")
    images, features = embedded(encoder)
    with torch.inference_mode():
        torch.testing.assert_close(features, reference(model, images), rtol=1e-5, atol=1e-5)
    assert encoder.facts["pooling"] == pool
    assert encoder.facts["format"] == "transformers"
    assert encoder.load.ignored == ignored
    assert encoder.load.matched == encoder.load.expected == len(encoder.module.model.state_dict())
    control = load_untrained(f"hf:{tmp_path}", seed=1)
    assert control.digest != encoder.digest
    assert control.dim == encoder.dim
    assert load_encoder(f"hf:{tmp_path}").digest == encoder.digest, "a dropped pooler leaves no trace"


def test_pooling_and_size_are_options(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**SMALL))
    saved(model, tmp_path)
    encoder = load_encoder(f"hf,pool=mean,size=48:{tmp_path}")
    images, features = embedded(encoder)
    assert encoder.preprocess.size == (48, 48)
    with torch.inference_mode():
        patches = model(pixel_values=images).last_hidden_state[:, 1 + model.config.num_register_tokens :]
    torch.testing.assert_close(features, patches.mean(1), rtol=1e-5, atol=1e-5)
    with pytest.raises(UsageError, match=r"pool=max does not fit .*; it has: cls, pooler, mean"):
        load_encoder(f"hf,pool=max:{tmp_path}")


def test_a_vit_takes_another_size_by_its_own_interpolation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = hf.ViTModel(hf.ViTConfig(**SMALL))
    encoder = load_encoder(f"hf,size=64:{saved(model, tmp_path)}")
    images, features = embedded(encoder)
    with torch.inference_mode():
        expected = model(pixel_values=images, interpolate_pos_encoding=True).last_hidden_state[:, 0]
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: hf.BertModel(hf.BertConfig(**TEXT)), "is no image encoder: a model of type 'bert'"),
        (lambda: hf.ViTModel(hf.ViTConfig(**SMALL, num_channels=1)), "takes 1 channels; sslaudit feeds 3"),
        (lambda: hf.VideoMAEModel(hf.VideoMAEConfig(**SMALL)), "takes videos"),
    ],
)
def test_what_does_not_embed_an_rgb_image_is_refused(
    build: Callable[[], nn.Module], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(EncoderError, match=reason):
        load_encoder(f"hf:{saved(build(), tmp_path)}")


def test_a_part_of_the_weights_is_a_mismatch_with_counts(tmp_path: Path) -> None:
    saved(hf.ViTModel(hf.ViTConfig(**SMALL)), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    first = dict(list(weights.items())[4:])
    save_file(first, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        WeightsMismatch, match=r"matched 36 of 40 tensors of ViTModel.\n  missing: .* and 1 more"
    ):
        load_encoder(f"hf:{tmp_path}")
    deeper = {**weights, **{k.replace(".1.", ".7.", 1): v.clone() for k, v in weights.items() if ".1." in k}}
    save_file(deeper, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsMismatch, match="too many"):
        load_encoder(f"hf:{tmp_path}")
    wider = {**weights, "layernorm.weight": torch.ones(33)}
    save_file(wider, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        WeightsMismatch, match=r"other shape: layernorm.weight: \(33,\) in the file, \(32,\) want"
    ):
        load_encoder(f"hf:{tmp_path}")
    save_file(
        {**weights, "layernorm.bias": torch.full((32,), torch.nan)},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(WeightsMismatch, match=r"'layernorm\.bias' hold NaN or infinity"):
        load_encoder(f"hf:{tmp_path}")


def test_a_pooler_that_the_file_lacks_cannot_be_asked_for(tmp_path: Path) -> None:
    saved(hf.ViTForImageClassification(hf.ViTConfig(**SMALL)), tmp_path)
    with pytest.raises(WeightsMismatch, match=r"missing: pooler.dense.bias, pooler.dense.weight"):
        load_encoder(f"hf,pool=pooler:{tmp_path}")


def test_pickled_and_sharded_weights_load_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = hf.ViTModel(hf.ViTConfig(**SMALL))
    whole = load_encoder(f"hf:{saved(model, tmp_path / 'whole')}")
    model.save_pretrained(tmp_path / "shards", max_shard_size="60kB")
    assert len(list((tmp_path / "shards").glob("*-of-*.safetensors"))) > 1
    assert load_encoder(f"hf:{tmp_path / 'shards'}").digest == whole.digest
    pickled = shutil.copytree(tmp_path / "whole", tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    assert load_encoder(f"hf:{pickled}").digest == whole.digest
    (pickled / "pytorch_model.bin").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )
    with pytest.raises(EncoderError, match="LFS pointer"):
        load_encoder(f"hf:{pickled}")


def test_without_transformers_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(hf.ViTModel(hf.ViTConfig(**SMALL)), tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EncoderError, match=r"(?m)^pip install 'sslaudit\[hub\]'$"):
        load_encoder(f"hf:{tmp_path}")


def test_a_timm_folder_gives_timms_features_and_preprocessing(timm_repo: Path) -> None:
    encoder = load_encoder(f"hf:{timm_repo}")
    model = timm.create_model(f"local-dir:{timm_repo}", pretrained=True, num_classes=0).eval()
    images, features = embedded(encoder)
    with torch.inference_mode():
        torch.testing.assert_close(features, model(images), rtol=0, atol=0)
    assert encoder.load.ignored == ("fc (2 tensors)",)
    assert encoder.load.matched == encoder.load.expected == 120
    assert (encoder.preprocess.mean, encoder.preprocess.std) == ((0.4, 0.5, 0.6), (0.2, 0.2, 0.2))
    assert encoder.preprocess.source == "config.json"
    assert encoder.facts["source"] == "local folder"
    through_timm = load_encoder(f"timm:local-dir:{timm_repo}")
    assert through_timm.digest == encoder.digest
    torch.manual_seed(5)
    fresh = timm.create_model(f"local-dir:{timm_repo}", pretrained=False, num_classes=0).eval()
    with torch.inference_mode():
        torch.testing.assert_close(load_untrained(f"hf:{timm_repo}", seed=5).embed(images), fresh(images))


def test_a_timm_folder_with_other_weights_is_a_mismatch(timm_repo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(timm_repo, tmp_path / "repo")
    weights = load_file(folder / "model.safetensors")
    short = {name: tensor for name, tensor in weights.items() if not name.startswith("layer4.1.")}
    save_file(short, folder / "model.safetensors")
    with pytest.raises(
        WeightsMismatch, match=r"matched 108 of 120 tensors of resnet18\.\n  missing: layer4.1"
    ):
        load_encoder(f"hf:{folder}")
    save_file({**weights, "layer4.2.conv1.weight": torch.ones(3)}, folder / "model.safetensors")
    with pytest.raises(WeightsMismatch, match=r"too many: layer4\.2\.conv1\.weight"):
        load_encoder(f"hf:{folder}")
    save_file({**weights, "conv1.weight": torch.ones(64, 3, 3, 3)}, folder / "model.safetensors")
    with pytest.raises(WeightsMismatch, match=r"other shape: conv1.weight: \(64, 3, 3, 3\) in the file"):
        load_encoder(f"hf:{folder}")


def test_a_config_that_says_little_is_completed_aloud(tmp_path: Path) -> None:
    timm_folder(tmp_path)
    config = {"architecture": "resnet18", "num_classes": 10, "pretrained_cfg": {"input_size": [3, 64, 64]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    encoder = load_encoder(f"hf:{tmp_path}")
    assert encoder.preprocess.size == (64, 64)
    said = "config.json names no {}; timm's defaults assumed"
    crop = said.format("interpolation, crop_pct")
    assert encoder.load.assumptions == (f"preprocessing: {said.format('mean, std')}", crop)
    given = Override(mean=(0.5,) * 3, std=(0.5,) * 3)
    assert load_encoder(f"hf:{tmp_path}", override=given).load.assumptions == (crop,)
    config["pretrained_cfg"]["input_size"] = [1, 64, 64]  # type: ignore[index]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(EncoderError, match="takes 1 channels"):
        load_encoder(f"hf:{tmp_path}")


def test_a_folder_without_config_holds_one_checkpoint_or_a_choice(tmp_path: Path) -> None:
    model = timm.create_model("resnet18", num_classes=0)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    encoder = load_encoder(f"hf:{tmp_path}")
    assert encoder.facts["format"] == "checkpoint (model.pth)"
    assert encoder.digest == load_encoder(str(tmp_path / "model.pth")).digest
    (tmp_path / "last.pth").write_bytes(b"")
    with pytest.raises(EncoderError, match=r"holds 2 weight files \(last.pth, model.pth\); .* file:PATH"):
        load_encoder(f"hf:{tmp_path}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderError, match="holds no weights"):
        load_encoder(f"hf:{tmp_path / 'empty'}")
    with pytest.raises(EncoderError, match="there is no folder"):
        load_encoder(f"hf:{tmp_path / 'absent'}")


def test_a_hub_name_that_is_also_a_folder_stays_a_hub_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    saved(hf.ViTModel(hf.ViTConfig(**SMALL)), tmp_path / "here")
    with pytest.raises(
        EncoderError, match=r"offline mode is on\. There is a folder of that name: hf:\./here\.$"
    ):
        load_encoder("hf:here")
    assert load_encoder("hf:./here").facts["source"] == "local folder"

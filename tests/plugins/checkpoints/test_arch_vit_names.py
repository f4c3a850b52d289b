"""ViTs in the names of torchvision, mmpretrain and transformers, against their own forward or ours."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer as TorchvisionViT

from tests.plugins.checkpoints.arch_reading import State, assert_same, complete, embed, read
from tests.plugins.checkpoints.vit_reference import backbone, class_token, forward, images, normed, tensors


def test_torchvision() -> None:
    """torchvision/models/vision_transformer.py, and the MLP names of its older files."""
    torch.manual_seed(2)
    model = TorchvisionViT(32, 8, num_layers=2, num_heads=3, hidden_dim=192, mlp_dim=40, num_classes=7).eval()
    state = {n: tensors({n: tuple(t.shape)})[n] for n, t in model.state_dict().items()}
    model.load_state_dict(state)
    model.heads = nn.Identity()
    pixels = images(32, 32)
    with torch.inference_mode():
        expected = model.double()(pixels.double())
    old = {n.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): t for n, t in state.items()}
    for names in (state, old):
        reading = read({f"vit.{name}": tensor for name, tensor in names.items()})
        assert_same(embed(reading, pixels), expected)
        assert "heads.head.weight" in reading.state


def mmpretrain(state: State, *, gated: bool = False) -> dict[str, Tensor]:
    """open-mmlab/mmpretrain mmpretrain/models/backbones/vision_transformer.py; FFN of mmcv."""
    first, second = ("ffn.w12", "ffn.w3") if gated else ("ffn.layers.0.0", "ffn.layers.1")
    names = {
        "patch_embed.proj": "patch_embed.projection",
        "blocks.": "layers.",
        ".norm1": ".ln1",
        ".norm2": ".ln2",
        "fc_norm": "ln2",
        "ls1.gamma": "attn.gamma1.weight",
        "ls2.gamma": "ffn.gamma2.weight" if gated else "ffn.gamma2.scale",
        "mlp.w12" if gated else "mlp.fc1": first,
        "mlp.w3" if gated else "mlp.fc2": second,
    }
    named = {}
    for name, tensor in state.items():
        for old, new in names.items():
            name = name.replace(old, new)
        named[re.sub("^norm", "ln1", name)] = tensor
    return named


@pytest.mark.parametrize("gated", [False, True])
def test_mmpretrain(gated: bool) -> None:
    plain, pixels = backbone(scale=True, gated=gated), images(32, 32)
    named = mmpretrain(plain, gated=gated)
    assert "layers.1.ffn.w12.bias" in named if gated else "layers.1.ffn.layers.0.0.bias" in named
    reading = read({f"backbone.{name}": t for name, t in named.items()})
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=3))


def test_mmpretrain_on_the_mean() -> None:
    """out_type='avg_featmap' without final_norm, as mmpretrain fine-tunes MAE: ln2 after the mean."""
    plain, pixels = backbone(norm="fc_norm"), images(32, 32)
    x = forward(plain, pixels, heads=3)[:, 1:].mean(1)
    expected = normed(x, plain["fc_norm.weight"], plain["fc_norm.bias"])
    assert_same(embed(read(mmpretrain(plain)), pixels), expected)


TINY = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "image_size": 32,
    "patch_size": 8,
}

FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "ViT": lambda: transformers.ViTModel(transformers.ViTConfig(**TINY)),
    "ViT without qkv bias": lambda: transformers.ViTModel(transformers.ViTConfig(**TINY, qkv_bias=False)),
    "I-JEPA": lambda: transformers.IJepaModel(transformers.IJepaConfig(**TINY)),
    "DINOv2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**TINY)),
    "DINOv2, SwiGLU": lambda: transformers.Dinov2Model(
        transformers.Dinov2Config(**TINY, use_swiglu_ffn=True)
    ),
    "DINOv2 with registers": lambda: transformers.Dinov2WithRegistersModel(
        transformers.Dinov2WithRegistersConfig(**TINY)
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers(tmp_path: Path, family: str) -> None:
    """transformers' own classes: their state dict, and the names that they save (those of version 4)."""
    model = FAMILIES[family]().eval()
    model.load_state_dict(tensors({n: tuple(t.shape) for n, t in model.state_dict().items()}))
    model.save_pretrained(tmp_path)
    pixels = images(32, 32)
    with torch.inference_mode():
        tokens = model.double()(pixels.double()).last_hidden_state
    expected = tokens.mean(1) if family == "I-JEPA" else tokens[:, 0]
    saved = load_file(tmp_path / "model.safetensors")
    assert any(".attention.attention.query." in name for name in saved)
    for state in (model.float().state_dict(), saved):
        reading = read({f"vit.{name}": tensor for name, tensor in state.items()}, heads=4)
        assert_same(embed(reading, pixels), expected)
        eps = "1e-06" if family.startswith("DINOv2") else "1e-12"
        assert reading.architecture.facts["layer norm eps"] == eps


@pytest.mark.parametrize("part", ["query.weight", "value.bias"])
@pytest.mark.parametrize("stored", [None, torch.tensor(1.0), torch.zeros(3)])
def test_a_damaged_part_of_the_attention_does_not_match(
    tmp_path: Path, part: str, stored: Tensor | None
) -> None:
    FAMILIES["ViT"]().save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state[f"encoder.layer.1.attention.attention.{part}"]
    if stored is not None:
        state[f"encoder.layer.1.attention.attention.{part}"] = stored
    reading = read(state, heads=4)
    assert not complete(reading)


def test_scalars_in_place_of_all_parts_do_not_match() -> None:
    state = FAMILIES["ViT"]().state_dict()
    state |= {f"layers.1.attention.{part}_proj.bias": torch.tensor(1.0) for part in "qkv"}
    reading = read(state, heads=4)
    assert not complete(reading)

"""ViTs in timm's names (DINO, DINOv2, MAE, MoCo v3), against an independent forward pass in float64.

Each layout is written as the project's own code names it; the source file stands at the layout.
"""

import pytest
import timm
import torch

from sslaudit_checkpoints.architectures.vit import HEADS
from tests.plugins.checkpoints.arch_reading import assert_same, complete, embed, read
from tests.plugins.checkpoints.vit_reference import backbone, class_token, forward, images, normed, tensors


def test_dino() -> None:
    """facebookresearch/dino main_dino.py: teacher with ``backbone`` and ``head``."""
    plain = backbone()
    head = tensors({"head.mlp.0.weight": (8, 192), "head.last_layer.weight_g": (5, 1)})
    reading = read({f"backbone.{name}": t for name, t in plain.items()} | head)
    pixels = images(32, 32)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=3))
    assert reading.architecture.facts["pooling"] == "class token after the last norm"
    assert reading.architecture.facts["heads"] == "3"
    assert "3 attention heads" in reading.architecture.assumptions[0]
    assert "heads=" in reading.architecture.assumptions[0]
    assert reading.renamed == ()


def test_eps_and_heads_show_in_these_features() -> None:
    """The tests above can fail: another eps or number of heads moves the reference beyond the tolerance."""
    plain, pixels = backbone(), images(32, 32)
    right = class_token(plain, pixels, heads=3)
    for options in ({"heads": 3, "eps": 1e-5}, {"heads": 3, "eps": 1e-12}, {"heads": 6}):
        other = class_token(plain, pixels, **options)
        assert float((other - right).abs().max()) > 1e-4 * float(right.abs().max())


def test_the_input_size_is_that_of_the_position_table() -> None:
    plain = backbone(patch=16, rows=37)
    reading = read(plain)
    assert reading.architecture.preprocess.size == (96, 96)
    assert reading.architecture.preprocess.source == "assumed"
    assert reading.architecture.facts["grid"] == "6x6"
    pixels = images(96, 96)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=3))


def test_a_square_number_of_rows_without_class_token_is_the_grid() -> None:
    """facebookresearch/ijepa src/models/vision_transformer.py: no class token, mean of the patches."""
    plain = backbone(rows=16, token=False)
    reading = read({f"encoder.module.{name}": t for name, t in plain.items()})
    pixels = images(32, 32)
    x = normed(forward(plain, pixels, heads=3), plain["norm.weight"], plain["norm.bias"])
    assert_same(embed(reading, pixels), x.mean(1))
    assert reading.architecture.facts["grid"] == "4x4"
    assert reading.architecture.facts["class token"] == "no"
    assert reading.architecture.facts["pooling"] == "mean of the patch tokens after the last norm"


def test_a_table_of_patches_beside_a_class_token() -> None:
    """facebookresearch/deit models_v2.py (DeiT III) in timm's names: the class token has no position."""
    plain = backbone(rows=16, scale=True)
    reading = read(plain)
    pixels = images(32, 32)
    whole = {**plain, "pos_embed": torch.cat([torch.zeros(1, 1, 192), plain["pos_embed"]], dim=1)}
    assert_same(embed(reading, pixels), class_token(whole, pixels, heads=3))


@pytest.mark.parametrize(("project", "heads"), [("mocov3", 12), ("dino", 6), ("", 6)])
def test_small_vits_have_12_heads_in_mocov3(project: str, heads: int) -> None:
    """facebookresearch/moco-v3 vits.py: vit_small with 12 heads; all others have 6."""
    plain = backbone(width=384)
    head = tensors({"head.0.weight": (8, 384), "head.1.weight": (8,)})
    reading = read({f"base_encoder.{name}": t for name, t in (plain | head).items()}, project=project)
    pixels = images(32, 32)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=heads))
    assert reading.architecture.facts["heads"] == str(heads)


def test_given_heads_win_and_are_no_assumption() -> None:
    plain = backbone()
    reading = read(plain, heads=12, project="mocov3")
    pixels = images(32, 32)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=12))
    assert reading.architecture.assumptions == ()


def test_mae_leaves_its_decoder() -> None:
    """facebookresearch/mae models_mae.py: decoder and mask token beside the encoder."""
    plain = backbone(width=768, hidden=32)
    decoder = {f"decoder_{n}": t for n, t in backbone(width=64, norm="norm").items() if "cls" not in n}
    decoder |= tensors({"mask_token": (1, 1, 64), "decoder_embed.weight": (64, 768)})
    reading = read(plain | decoder)
    pixels = images(32, 32)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=12))
    assert set(decoder) <= set(reading.state)


def test_mae_fine_tuned_on_the_mean() -> None:
    """facebookresearch/mae models_vit.py with global_pool: the norm is fc_norm, after the mean."""
    plain = backbone(norm="fc_norm") | tensors({"head.weight": (5, 192), "head.bias": (5,)})
    pixels = images(32, 32)
    x = forward(plain, pixels, heads=3)[:, 1:].mean(1)
    reading = read(plain)
    assert_same(embed(reading, pixels), normed(x, plain["fc_norm.weight"], plain["fc_norm.bias"]))
    assert reading.architecture.facts["pooling"] == "mean of the patch tokens, then the last norm"


def test_dinov2_with_chunks_and_layer_scale() -> None:
    """facebookresearch/dinov2 dinov2/models/vision_transformer.py: BlockChunk, ls1, mask_token."""

    def block(index: int) -> str:
        return f"blocks.{index // 2}.{index}"

    plain = backbone(depth=4, patch=14, scale=True, block=block) | tensors({"mask_token": (1, 192)})
    reading = read({f"backbone.{name}": t for name, t in plain.items()})
    pixels = images(56, 56)
    expected = class_token(plain, pixels, heads=3, depth=4, block=block)
    assert_same(embed(reading, pixels), expected)
    assert "blocks.3.attn.qkv.weight" in reading.state
    assert not any(name.startswith("blocks.1.3.") for name in reading.state)
    assert reading.renamed == ("blocks.CHUNK.INDEX is blocks.INDEX: the index counts through all chunks",)


def test_dinov2_giant_has_a_gated_mlp() -> None:
    """facebookresearch/dinov2 dinov2/layers/swiglu_ffn.py: w12 and w3."""
    plain = backbone(patch=14, scale=True, gated=True)
    pixels = images(56, 56)
    assert_same(embed(read(plain), pixels), class_token(plain, pixels, heads=3))


def test_dinov2_with_registers() -> None:
    """facebookresearch/dinov2 vision_transformer.py: registers stand behind the class token, unplaced."""
    plain = backbone(patch=14, scale=True) | tensors({"register_tokens": (1, 4, 192), "mask_token": (1, 192)})
    reading = read(plain)
    pixels = images(56, 56)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=3, registers="register_tokens"))
    assert reading.architecture.facts["registers"] == "4"
    assert "register_tokens" in reading.renamed[0]


def test_biases_that_are_absent_are_not_expected() -> None:
    plain, pixels = backbone(bias=False), images(32, 32)
    assert_same(embed(read(plain), pixels), class_token(plain, pixels, heads=3))


@pytest.mark.parametrize("name", ["vit_small_patch14_reg4_dinov2", "deit_tiny_distilled_patch16_224"])
def test_timm_names(name: str) -> None:
    """What timm saves of its own nets: registers, a distillation token."""
    torch.manual_seed(3)
    size = {} if "224" in name else {"img_size": 56}
    model = timm.create_model(name, depth=2, **size).eval()
    reading = read(model.state_dict())
    pixels = images(*reading.architecture.preprocess.size)
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(pixels), pre_logits=True).double()
    assert_same(embed(reading, pixels), expected)


def test_published_widths_build_on_the_meta_device() -> None:
    for width, heads in HEADS.items():
        with torch.device("meta"):
            state = {n: torch.empty(t.shape) for n, t in backbone(width=width, hidden=8, rows=5).items()}
        reading = read(state)
        skeleton = reading.architecture.skeleton()
        assert complete(reading)
        assert skeleton.blocks[0].attn.num_heads == heads


@pytest.mark.parametrize(("size", "grid"), [((64, 112), "4x7"), ((112, 64), "7x4")])
def test_a_stated_grid_need_not_be_square(size: tuple[int, int], grid: str) -> None:
    plain = backbone(patch=16, rows=29)
    reading = read(plain, size=size)
    pixels = images(*size)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=3))
    assert reading.architecture.facts["grid"] == grid
    assert reading.architecture.preprocess.size == size

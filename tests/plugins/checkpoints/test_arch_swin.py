"""Swin transformers from names and shapes, against torchvision's own class in float64."""

import math
import re

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import swin_transformer as torchvision_swin

from sslaudit_checkpoints.architectures.base import Unfit
from tests.plugins.checkpoints.arch_reading import State, assert_same, complete, embed, read

Net = tuple[dict[str, Tensor], Tensor]

PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def torchvision_net(*, second: bool = False) -> Net:
    """torchvision/models/swin_transformer.py: its tensors, and its features before the head.

    Patches of 2 and windows of 2 at 32 pixels: grids of 16, 8, 4 and 2, shifted in all but the last.
    """
    kind = torchvision_swin
    model = kind.SwinTransformer(
        patch_size=[2, 2],
        embed_dim=8,
        depths=[2, 2, 2, 2],
        num_heads=[1, 2, 4, 8],
        window_size=[2, 2],
        num_classes=5,
        block=kind.SwinTransformerBlockV2 if second else None,
        downsample_layer=kind.PatchMergingV2 if second else kind.PatchMerging,
    ).eval()
    generator = torch.Generator().manual_seed(3)
    state = model.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() and "coords_table" not in name:
            scale = 0.01 if name == "features.0.0.weight" else 0.3
            state[name] = torch.randn(tensor.shape, generator=generator) * scale
    model.load_state_dict(state)
    state = {name: tensor.clone() for name, tensor in state.items()}
    model.head = nn.Identity()
    with torch.inference_mode():
        return state, model.double()(PIXELS.double())


@pytest.fixture(scope="module")
def net() -> Net:
    return torchvision_net()


def official(state: State, *, masks: bool = True, at_start: bool = False) -> dict[str, Tensor]:
    """microsoft/Swin-Transformer models/swin_transformer.py; ``at_start`` as timm since 0.9."""
    rules = (
        (r"^features\.0\.0\.", "patch_embed.proj."),
        (r"^features\.0\.2\.", "patch_embed.norm."),
        (r"^features\.([246])\.", lambda m: f"layers.{int(m[1]) // 2 - (not at_start)}.downsample."),
        (r"^features\.([1357])\.", lambda m: f"layers.{int(m[1]) // 2}.blocks."),
        (r"mlp\.0\.", "mlp.fc1."),
        (r"mlp\.3\.", "mlp.fc2."),
        (r"^head\.", "head.fc." if at_start else "head."),
    )
    named = {}
    for name, tensor in state.items():
        if not masks and name.endswith("relative_position_index"):
            continue
        for old, new in rules:
            name = re.sub(old, new, name)
        index = name.endswith("relative_position_index")
        named[name] = tensor.reshape(math.isqrt(len(tensor)), -1) if index else tensor
    for stage, windows in enumerate((64, 16, 4) if masks else ()):
        named[f"layers.{stage}.blocks.1.attn_mask"] = torch.zeros(windows, 4, 4)
    return named


def test_official_files(net: Net) -> None:
    state, expected = net
    reading = read({f"encoder.{name}": tensor for name, tensor in official(state).items()})
    assert reading.architecture.preprocess.size == (32, 32)
    assert reading.architecture.assumptions == ()
    assert reading.architecture.facts["heads"] == "1-2-4-8"
    assert reading.architecture.facts["pooling"] == "last norm, then the mean of all positions"
    assert "downsample" in reading.renamed[0]
    assert "11 tensors" in reading.renamed[1]  # 8 indices, 3 masks
    assert_same(embed(reading, PIXELS), expected)


def test_timm_files(net: Net) -> None:
    """timm keeps no buffers and merges patches at the start of a stage; its head is ``head.fc``."""
    state, expected = net
    reading = read(official(state, masks=False, at_start=True))
    assert reading.renamed == ()
    assert "input of 32 pixels" in reading.architecture.assumptions[0]
    assert_same(embed(reading, PIXELS), expected)


def test_the_mask_tells_a_larger_input(net: Net) -> None:
    state = official(net[0])
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(256, 4, 4)
    assert read(state).architecture.preprocess.size == (64, 64)


def test_a_given_size_wins(net: Net) -> None:
    reading = read(official(net[0]), size=(64, 48))
    assert reading.architecture.preprocess.size == (64, 48)
    assert embed(reading, torch.zeros(1, 3, 64, 48)).shape == (1, 64)


@pytest.mark.parametrize("second", [False, True])
def test_torchvision_files(second: bool) -> None:
    state, expected = torchvision_net(second=second)
    reading = read({f"backbone.{name}": tensor for name, tensor in state.items()})
    assert reading.architecture.preprocess.size == (32, 32)
    assert reading.architecture.facts["heads"] == "1-2-4-8"
    assert reading.architecture.name.startswith("swin_v2" if second else "swin of")
    assert_same(embed(reading, PIXELS), expected)
    with pytest.raises(Unfit, match="images of 1x32 are smaller than its patches of 2 pixels"):
        read(state, size=(1, 32))


def test_windows_of_small_images_shrink() -> None:
    """vturrisi/solo-learn solo/backbones/swin/swin.py builds timm's net: 32 pixels, window 4."""
    torch.manual_seed(1)
    model = timm.models.swin_transformer.SwinTransformer(
        img_size=32, patch_size=2, window_size=4, embed_dim=8, depths=(2, 1, 1, 1), num_heads=(1, 2, 4, 8)
    ).eval()
    state = model.state_dict()
    tables = [state[f"layers.{n}.blocks.0.attn.relative_position_bias_table"] for n in range(4)]
    assert [len(table) for table in tables] == [49, 49, 49, 9]
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(PIXELS), pre_logits=True).double()
    assert_same(embed(read(state), PIXELS), expected)


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("swin_tiny_patch4_window7_224", 224, "swin_tiny, window 7"),
        ("swin_base_patch4_window12_384", 384, "swin_base, window 12"),
    ],
)
def test_published_nets_get_their_name_and_size(name: str, size: int, said: str) -> None:
    with torch.device("meta"):
        state = timm.create_model(name).state_dict()
    reading = read(state)
    assert reading.architecture.name == said
    assert reading.architecture.preprocess.size == (size, size)
    assert complete(reading)


TABLE = "layers.3.blocks.0.attn.relative_position_bias_table"


@pytest.mark.parametrize(
    ("extra", "hints", "message"),
    [
        ({"patch_embed.proj.weight": torch.zeros(8, 1, 2, 2)}, {}, "takes 1 channel; sslaudit feeds RGB"),
        ({"absolute_pos_embed": torch.zeros(1, 256, 8)}, {}, "absolute position table"),
        ({"layers.0.blocks.0.attn.logit_scale": torch.zeros(1)}, {}, "Swin V2.*arch=timm:swinv2"),
        ({TABLE: torch.zeros(10, 8)}, {}, "10 rows, which is no square window"),
        ({TABLE: torch.zeros(9, 7)}, {}, "7 attention heads, which do not divide its width 64"),
        ({TABLE: torch.zeros(25, 8)}, {}, "do not fit an input of 32x32"),
        ({}, {"size": (8, 8)}, "windows of 2, 2, 2, 2 patches, which do not fit an input of 8x8"),
        ({}, {"size": (33, 33)}, "do not fit an input of 33x33"),
    ],
)
def test_what_cannot_be_built_is_said(net: Net, extra: State, hints: dict[str, object], message: str) -> None:
    state = {n: t for n, t in official(net[0]).items() if n not in extra} | dict(extra)
    if "layers.0.blocks.0.attn.logit_scale" in extra:
        del state["layers.0.blocks.0.attn.relative_position_bias_table"]
    with pytest.raises(Unfit, match=f"(?s){message}"):
        read(state, **hints)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("norm.weight", None),
        ("patch_embed.norm.bias", None),
        ("layers.2.downsample.reduction.weight", None),
        ("layers.3.blocks.1.mlp.fc2.bias", None),
        ("layers.1.blocks.1.attn.relative_position_bias_table", (25, 2)),
        ("layers.1.blocks.0.mlp.fc3.weight", (3, 3)),
        ("layers.0.blocks.7777777.norm1.weight", (8,)),
    ],
)
def test_what_differs_does_not_match(net: Net, name: str, shape: tuple[int, ...] | None) -> None:
    state = {other: tensor for other, tensor in official(net[0]).items() if other != name}
    if shape is not None:
        state[name] = torch.zeros(shape)
    reading = read(state)
    assert not complete(reading)

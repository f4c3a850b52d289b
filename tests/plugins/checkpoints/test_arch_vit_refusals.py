"""ViTs that cannot be built are said to be so, and what differs from one does not match it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sslaudit_checkpoints.architectures.base import Unfit
from tests.plugins.checkpoints.arch_reading import State, complete, read
from tests.plugins.checkpoints.vit_reference import backbone, tensors

REFUSED: dict[str, tuple[Callable[[], State], dict[str, object], str]] = {
    "not square": (
        lambda: backbone(patch=16, rows=29),
        {},
        r"28 patches of 16x16 pixels, which is no square grid.*size=64x112 makes the grid 4x7",
    ),
    "another size": (
        lambda: backbone(patch=16, rows=37),
        {"size": (224, 224)},
        r"36 patches.*size=224x224 does not make.*not resized silently.*size=96x96",
    ),
    "a size between patches": (lambda: backbone(patch=16, rows=37), {"size": (97, 97)}, "does not make"),
    "unknown width": (lambda: backbone(width=100), {}, "width 100.*Say it: heads="),
    "heads that do not divide": (lambda: backbone(), {"heads": 5}, "192 does not divide into 5"),
    "gray": (
        lambda: backbone() | tensors({"patch_embed.proj.weight": (192, 1, 8, 8)}),
        {},
        "takes 1 channel; sslaudit feeds RGB",
    ),
    "video": (
        lambda: backbone() | tensors({"patch_embed.proj.weight": (192, 3, 2, 8, 8)}),
        {},
        "video transformer",
    ),
    "no positions": (
        lambda: {n: t for n, t in backbone().items() if n != "pos_embed"},
        {},
        "no position table.*arch=timm:NAME",
    ),
    "more tokens than rows": (
        lambda: backbone() | tensors({"pos_embed": (1, 2, 192), "dist_token": (1, 1, 192)}),
        {},
        "fewer rows",
    ),
    "CLIP": (lambda: backbone() | tensors({"norm_pre.weight": (192,)}), {}, "CLIP's norm.*arch=timm:NAME"),
    "SigLIP": (
        lambda: backbone() | tensors({"attn_pool.latent": (1, 1, 192)}),
        {},
        "attention pooling.*arch=timm:NAME",
    ),
    "damaged": (lambda: backbone() | tensors({"pos_embed": (17,)}), {}, r"'pos_embed' has the shape \(17,\)"),
    "no MLP": (
        lambda: {n: t for n, t in backbone().items() if n != "blocks.0.mlp.fc1.weight"},
        {},
        "'blocks.0.mlp.fc1.weight' is missing",
    ),
    "two norms": (
        lambda: backbone() | tensors({"fc_norm.weight": (192,), "fc_norm.bias": (192,)}),
        {},
        "two last norms",
    ),
    "convolutional stem": (
        lambda: backbone() | tensors({"patch_embed.proj.0.weight": (24, 3, 3, 3)}),
        {},
        "convolutional stem",
    ),
    "one block in two chunks": (
        lambda: backbone(block="blocks.0.{}".format) | tensors({"blocks.1.1.norm1.weight": (192,)}),
        {},
        "two of its tensors are both 'blocks.1.norm1.weight'",
    ),
    "registers of another width": (
        lambda: backbone() | tensors({"register_tokens": (1, 4, 96)}),
        {},
        "different widths",
    ),
    "an unknown part of the embeddings": (
        lambda: {
            "embeddings.extra": torch.zeros(3),
            "encoder.layer.0.attention.attention.query.weight": torch.zeros(4, 4),
        },
        {},
        "embeddings.extra",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_built_is_said(case: str) -> None:
    state, hints, message = REFUSED[case]
    with pytest.raises(Unfit, match=f"(?s){message}"):
        read(state(), **hints)


CHANGES: dict[str, Callable[[dict[str, Tensor]], None]] = {
    "a tensor of a later block is missing": lambda s: s.pop("blocks.1.norm2.bias"),
    "the last norm is missing": lambda s: (s.pop("norm.weight"), s.pop("norm.bias")),
    "one bias is missing": lambda s: s.pop("blocks.1.attn.qkv.bias"),
    "a block has more": lambda s: s.update(tensors({"blocks.1.attn.rel_pos_bias": (4, 3)})),
    "the patches have a norm": lambda s: s.update(tensors({"patch_embed.norm.weight": (192,)})),
    "a block lies far behind": lambda s: s.update(tensors({"blocks.999999999.norm1.weight": (192,)})),
    "one width differs": lambda s: s.update(tensors({"blocks.1.mlp.fc2.weight": (192, 47)})),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_differs_does_not_match(change: str) -> None:
    state = dict(backbone())
    CHANGES[change](state)
    reading = read(state)
    assert not complete(reading)

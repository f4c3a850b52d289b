"""Files of SSL projects with ViTs, through the loader: which backbone, how many heads, what is left out."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

State = dict[str, Tensor]


def vit(telling, *, width: int = 192, heads: int = 3, **options: Any) -> nn.Module:
    torch.manual_seed(3)
    net = VisionTransformer(
        img_size=32, patch_size=16, embed_dim=width, depth=2, num_heads=heads, num_classes=0, **options
    )
    return telling(net)


def under(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def shifted(state: Mapping[str, Tensor]) -> State:
    return {name: tensor + 0.1 for name, tensor in state.items()}


@pytest.fixture
def small() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_dino(loads, telling, small: Tensor) -> None:
    """facebookresearch/dino main_dino.py: the teacher of a ViT is not wrapped, the student is."""
    net = vit(telling)
    head = {"head.mlp.0.weight": torch.ones(8, 192), "head.last_layer.weight_g": torch.ones(9, 1)}
    content = {
        "student": under("module.backbone.", shifted(net.state_dict())) | under("module.", head),
        "teacher": under("backbone.", net.state_dict()) | head,
        "optimizer": {},
        "epoch": 100,
        "args": Namespace(arch="vit_tiny", patch_size=16),
        "dino_loss": {"center": torch.zeros(1, 9)},
    }
    encoder = loads(content, net, small, options=",depth=2")
    assert (encoder.load.branch, encoder.load.prefix) == ("teacher", "backbone.")
    assert encoder.facts["layout"].startswith("DINO (")
    assert encoder.preprocess.interpolation == "bicubic"
    assert "head (2 tensors)" in encoder.load.ignored


def test_moco_v3_has_twelve_heads_in_its_small_vit(loads, telling, small: Tensor) -> None:
    """facebookresearch/moco-v3 vits.py: vit_small is 384 wide with 12 heads, not the usual 6."""
    net = vit(telling, width=384, heads=12)
    content = {
        "epoch": 300,
        "arch": "vit_small",
        "state_dict": {
            **under("module.base_encoder.", net.state_dict()),
            **under("module.momentum_encoder.", shifted(net.state_dict())),
            "module.base_encoder.head.0.weight": torch.ones(16, 384),
            "module.base_encoder.head.1.weight": torch.ones(16),
            "module.base_encoder.head.1.running_mean": torch.ones(16),
            "module.base_encoder.head.3.weight": torch.ones(8, 16),
            "module.predictor.0.weight": torch.ones(16, 8),
            "module.predictor.1.running_mean": torch.ones(16),
            "module.predictor.3.weight": torch.ones(8, 16),
        },
        "optimizer": {},
        "scaler": {},
    }
    encoder = loads(content, net, small, options=",depth=2")
    assert encoder.load.prefix == "module.base_encoder."
    assert encoder.facts["heads"] == "12"


def test_mae(loads, telling, small: Tensor) -> None:
    """facebookresearch/mae models_mae.py: the decoder and the mask token stay out."""
    net = vit(telling)
    content = {
        "model": {
            **net.state_dict(),
            "mask_token": torch.zeros(1, 1, 64),
            "decoder_pos_embed": torch.zeros(1, 5, 64),
            "decoder_embed.weight": torch.zeros(64, 192),
            "decoder_blocks.0.attn.qkv.weight": torch.zeros(192, 64),
        },
        "optimizer": {},
        "epoch": 399,
        "args": Namespace(model="mae_vit_tiny"),
    }
    encoder = loads(content, net, small, options=",depth=2")
    assert encoder.facts["layout"].startswith("MAE (")
    assert {group.split(" ")[0] for group in encoder.load.ignored} == {
        "mask_token",
        "decoder_pos_embed",
        "decoder_embed",
        "decoder_blocks",
        "optimizer",
    }


@pytest.mark.parametrize("chunks", [False, True])
def test_dinov2_teacher(loads, telling, small: Tensor, chunks: bool) -> None:
    """facebookresearch/dinov2 dinov2/train/ssl_meta_arch.py: under FSDP names, blocks in chunks."""
    net = vit(telling, init_values=1e-5)
    state = {"mask_token": torch.zeros(1, 192), **net.state_dict()}
    if chunks:
        state = {
            name.replace("blocks.0.", "blocks.0.0.").replace("blocks.1.", "blocks.1.1."): t
            for name, t in state.items()
        }
    content = {
        "model": {
            **under("student.backbone._fsdp_wrapped_module.", shifted(state)),
            **under("teacher.backbone._fsdp_wrapped_module.", state),
            "student.dino_head.mlp.0.weight": torch.ones(8, 192),
            "teacher.dino_head.mlp.0.weight": torch.ones(8, 192),
            "teacher.ibot_head.mlp.0.weight": torch.ones(8, 192),
        },
        "iteration": 10,
    }
    encoder = loads(content, net, small, options=",depth=2")
    assert encoder.load.prefix == "teacher.backbone._fsdp_wrapped_module."
    assert "mask_token" in " ".join(encoder.load.ignored)
    assert any("key=student" in other for other in encoder.load.others)


@pytest.mark.parametrize(
    ("project", "rest"),
    [
        ("I-JEPA", {"predictor": {"module.predictor_embed.weight": torch.ones(4, 192)}}),
        ("MSN", {"prototypes": torch.ones(9, 4)}),
    ],
)
def test_the_target_encoder_of_joint_embedding_projects(
    loads, telling, small: Tensor, project: str, rest: dict[str, Any]
) -> None:
    """facebookresearch/ijepa src/train.py and facebookresearch/msn src/msn_train.py save three parts; the
    target encoder is what both evaluate."""
    net = vit(telling)
    state = under("module.", net.state_dict())
    content = {"encoder": shifted(state), "target_encoder": state, "opt": {}, "epoch": 3, **rest}
    encoder = loads(content, net, small, options=",depth=2")
    assert encoder.load.branch == "target_encoder"
    assert encoder.facts["layout"].startswith(project)

"""Files of projects without negative pairs: BYOL, Barlow Twins, VICReg, SwAV, DINO; and PyContrast."""

from argparse import Namespace
from typing import Any

import torch
from torch import nn

from tests.plugins.checkpoints.layouts_conv import (
    CHILDREN,
    IMAGENET,
    PLAIN,
    WIDTH,
    Layout,
    SamePadded,
    State,
    layout,
    mlp,
    optimizer,
    places,
    resnet,
    shifted,
    tensors,
    under,
    wide,
)


@layout
def byol_lucidrains() -> Layout:
    """The network is a child of the learner and of its online encoder: each tensor stands there twice.

    Source: lucidrains/byol-pytorch byol_pytorch/byol_pytorch.py
    """
    model = resnet(fc=True)
    reference = resnet()

    def head(prefix: str) -> State:
        return mlp(prefix, nn.Linear(512, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, WIDTH))

    content = {
        **tensors("net.", model),
        **tensors("online_encoder.net.", model),
        **head("online_encoder.projector."),
        **tensors("target_encoder.net.", shifted(model)),
        **head("target_encoder.projector."),
        **mlp("online_predictor.", nn.Linear(WIDTH, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, WIDTH)),
    }
    return Layout(
        content=content,
        reference=reference,
        prefix="online_encoder.net.",
        ignored=("online_predictor",),
        project="byol-lucidrains",
        **IMAGENET,
    )


@layout
def byol_sthalles() -> Layout:
    """Source: sthalles/PyTorch-BYOL trainer.py, models/resnet_base_network.py"""
    model = resnet()

    def network(backbone: nn.Module) -> State:
        layers = (nn.Linear(512, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, WIDTH))
        encoder = under("encoder.", places(backbone.state_dict(), *CHILDREN))
        return {**encoder, **mlp("projetion.net.", *layers)}

    content = {
        "online_network_state_dict": network(model),
        "target_network_state_dict": network(shifted(model)),
        "optimizer_state_dict": optimizer(),
    }
    return Layout(
        content=content,
        reference=model,
        branch="online_network_state_dict",
        prefix="encoder.",
        ignored=("projetion",),
        project="byol-sthalles",
        **PLAIN,
    )


@layout
def byol_yaox12() -> Layout:
    """Source: yaox12/BYOL-PyTorch trainer/byol_trainer.py, model/basic_modules.py"""
    model = resnet()

    def head(prefix: str, width: int) -> State:
        parts = nn.ModuleDict(
            {"l1": nn.Linear(width, 64), "bn1": nn.BatchNorm1d(64), "l2": nn.Linear(64, WIDTH)}
        )
        return tensors(prefix, parts)

    state: State = {}
    for name, backbone in (("online_network", model), ("target_network", shifted(model))):
        encoder = places(backbone.state_dict(), *CHILDREN)
        state |= under(f"module.{name}.encoder.", encoder) | head(f"module.{name}.projetion.", 512)
    state |= head("module.predictor.predictor.", WIDTH)
    content = {
        "config": {"model": {"backbone": {"type": "resnet18", "pretrained": False}}},
        "epoch": 300,
        "steps": 93_000,
        "model": state,
        "optimizer": optimizer(),
        "amp": {"loss_scaler0": {"loss_scale": 65536.0, "unskipped": 0}},
    }
    return Layout(
        content=content,
        reference=model,
        branch="model",
        prefix="module.online_network.encoder.",
        ignored=("predictor",),
        project="byol-yaox12",
        **IMAGENET,
    )


@layout
def byol_deepmind() -> Layout:
    """Strided layers pad as in TensorFlow, which neither names nor shapes say. The weights of all layers
    come first, then the statistics of all norms; there are no counters.

    Source: ajtejankar/byol-convert convert.py, resnet.py
    """
    model = wide(1)
    state = {**model.state_dict(), **under("fc.", nn.Linear(2048, 10).state_dict())}
    statistics = {name: one for name, one in state.items() if ".running_" in name}
    weights = {name: one for name, one in state.items() if name.endswith(("weight", "bias"))}
    return Layout(
        content={**weights, **statistics},
        reference=SamePadded(model),
        prefix="",
        ignored=("fc",),
        name="resnet of bottleneck blocks 1-1-1-1",
        project="byol-convert",
        **IMAGENET,
    )


def _projector(prefix: str, dim: int, *, bias: bool) -> State:
    layers: list[nn.Module] = []
    for width in (dim, 64):
        layers += [nn.Linear(width, 64, bias=bias), nn.BatchNorm1d(64), nn.ReLU()]
    return mlp(prefix, *layers, nn.Linear(64, 64, bias=False))


@layout
def barlow_twins() -> Layout:
    """Source: facebookresearch/barlowtwins main.py"""
    model = resnet()
    state = {
        **tensors("module.backbone.", model),
        **_projector("module.projector.", 512, bias=False),
        **tensors("module.bn.", nn.BatchNorm1d(64, affine=False)),
    }
    return Layout(
        content={"epoch": 1000, "model": state, "optimizer": optimizer()},
        reference=model,
        branch="model",
        prefix="module.backbone.",
        ignored=("projector", "bn"),
        project="barlowtwins",
        **IMAGENET,
    )


@layout
def barlow_twins_final() -> Layout:
    """Only the backbone is left at the end of training, and nothing says whose it is.

    Source: facebookresearch/barlowtwins main.py (resnet50.pth)
    """
    model = resnet()
    return Layout(content=model.state_dict(), reference=model, prefix="")


@layout
def vicreg() -> Layout:
    """Source: facebookresearch/vicreg main_vicreg.py"""
    model = resnet()
    state = {**tensors("module.backbone.", model), **_projector("module.projector.", 512, bias=True)}
    return Layout(
        content={"epoch": 1000, "model": state, "optimizer": optimizer()},
        reference=model,
        branch="model",
        prefix="module.backbone.",
        ignored=("projector",),
        project="vicreg",
        **IMAGENET,
    )


class PaddingLayer(nn.Module):
    """The image is padded by a layer of its own, and conv1 by 2: together as torchvision's 3.

    Source: facebookresearch/swav src/resnet50.py, facebookresearch/vicreg resnet.py
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.padding = nn.ConstantPad2d(1, 0.0)
        self.model = model
        self.model.conv1.padding = (2, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D)."""
        return self.model(self.padding(images))


@layout
def vicreg_wide() -> Layout:
    """Source: facebookresearch/vicreg resnet.py (resnet50x2.pth)"""
    model = wide(2)
    name = "resnet of bottleneck blocks 1-1-1-1w2"
    return Layout(content=model.state_dict(), reference=PaddingLayer(model), prefix="", name=name)


def _swav(prototypes: State, project: str, *, width: int | None = None) -> Layout:
    model = resnet() if width is None else wide(width)
    dim = 512 if width is None else 2048 * width
    layers = (nn.Linear(dim, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, WIDTH))
    state = {**tensors("module.", model), **mlp("module.projection_head.", *layers), **prototypes}
    more: dict[str, Any] = {}
    if width is not None:
        more["name"] = f"resnet of bottleneck blocks 1-1-1-1w{width}"
    return Layout(
        content={"epoch": 800, "state_dict": state, "optimizer": optimizer(), "amp": {}},
        reference=PaddingLayer(model),
        branch="state_dict",
        prefix="module.",
        ignored=("projection_head", "prototypes"),
        project=project,
        mean=IMAGENET["mean"],
        std=(0.228, 0.224, 0.225),
        **more,
    )


@layout
def swav() -> Layout:
    """Source: facebookresearch/swav main_swav.py, src/resnet50.py"""
    return _swav(tensors("module.prototypes.", nn.Linear(WIDTH, 30, bias=False)), "swav")


@layout
def swav_wide() -> Layout:
    """Source: facebookresearch/swav src/resnet50.py (resnet50w2)"""
    return _swav(tensors("module.prototypes.", nn.Linear(WIDTH, 30, bias=False)), "swav", width=2)


@layout
def deepcluster_v2() -> Layout:
    """Source: facebookresearch/swav main_deepclusterv2.py, src/resnet50.py (MultiPrototypes)"""
    heads = (tensors(f"module.prototypes.prototypes{i}.", nn.Linear(WIDTH, 30, bias=False)) for i in range(3))
    prototypes: State = {}
    for head in heads:
        prototypes |= head
    return _swav(prototypes, "deepclusterv2")


@layout
def dino_resnet() -> Layout:
    """Batch norm makes both networks stand in DDP, unlike DINO's ViTs, whose teacher does not.

    Source: facebookresearch/dino main_dino.py, utils.py (MultiCropWrapper), vision_transformer.py (DINOHead)
    """
    model = resnet()

    def network(backbone: nn.Module) -> State:
        gelu = nn.GELU()
        head = mlp(
            "module.head.mlp.", nn.Linear(512, 64), gelu, nn.Linear(64, 64), gelu, nn.Linear(64, WIDTH)
        )
        last = {"weight_g": torch.ones(30, 1), "weight_v": torch.randn(30, WIDTH)}
        return {
            **tensors("module.backbone.", backbone),
            **head,
            **under("module.head.last_layer.", last),
        }

    content = {
        "student": network(shifted(model)),
        "teacher": network(model),
        "optimizer": optimizer(),
        "epoch": 100,
        "args": Namespace(arch="resnet18", patch_size=16, out_dim=30, use_bn_in_head=False),
        "dino_loss": {"center": torch.zeros(1, 30)},
        "fp16_scaler": {"scale": 65536.0, "growth_tracker": 0},
    }
    return Layout(
        content=content,
        reference=model,
        branch="teacher",
        prefix="module.backbone.",
        ignored=("head",),
        project="dino",
        **IMAGENET,
    )


@layout
def pycontrast_momentum() -> Layout:
    """InfoMin and MoCo in PyContrast: the averaged model stands beside, and the memory is a queue.

    Source: HobbitLong/PyContrast pycontrast/learning/contrast_trainer.py, networks/build_backbone.py
    """
    model = resnet()
    head = (nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, WIDTH))
    content = {
        "model": {**tensors("module.encoder.", model), **mlp("module.head.", *head)},
        "contrast": {"memory": torch.randn(64, WIDTH)},
        "optimizer": optimizer(),
        "epoch": 200,
        "model_ema": {**tensors("encoder.", shifted(model)), **mlp("head.", *head)},
    }
    return Layout(
        content=content,
        reference=model,
        branch="model",
        prefix="module.encoder.",
        ignored=("head", "contrast"),
        project="pycontrast",
        **IMAGENET,
    )

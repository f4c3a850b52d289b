"""The projector beside the backbone: the chain of its layers, with the weights of the file."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sslaudit import load_dataset, load_encoder
from sslaudit.data import subset
from sslaudit.registry import installed
from sslaudit.train.choices import Choices
from sslaudit.train.loop import train

LAYOUTS = {
    "MoCo v2": (
        "module.encoder_q.",
        "module.encoder_q.fc.",
        nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 16)),
    ),
    "Barlow Twins": (
        "module.backbone.",
        "module.projector.",
        nn.Sequential(
            nn.Linear(512, 32, bias=False),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Linear(32, 32, bias=False),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Linear(32, 24, bias=False),
        ),
    ),
    "SimSiam": (
        "encoder.",
        "encoder.fc.",
        nn.Sequential(
            nn.Linear(512, 32, bias=False),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Linear(32, 16),
            nn.BatchNorm1d(16, affine=False),
        ),
    ),
    "lightly": (
        "backbone.",
        "projection_head.layers.",
        nn.Sequential(nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 8)),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_projections_are_those_of_the_training_code(
    loads, telling, resnet18: nn.Module, images: Tensor, layout: str
) -> None:
    before, at, projector = LAYOUTS[layout]
    telling(projector)
    content = {
        **{before + k: v for k, v in resnet18.state_dict().items()},
        **{at + k: v for k, v in projector.state_dict().items()},
        "module.predictor.0.weight": torch.ones(4, 512),
        "module.predictor.2.weight": torch.ones(4, 4),
    }
    encoder = loads({"state_dict": content}, resnet18, images)
    assert encoder.project is not None
    with torch.inference_mode():
        h = encoder.embed(images)
        torch.testing.assert_close(encoder.project(h), projector(h), rtol=1e-5, atol=1e-5)
    assert "ReLU" in encoder.facts["projector"]


def test_two_projectors_on_one_backbone_are_told_apart(
    loads, telling, resnet18: nn.Module, images: Tensor
) -> None:
    """Projections are kept by digest: the second must not be given those of the first."""
    backbone = {f"backbone.{k}": v for k, v in resnet18.state_dict().items()}
    digests = set()
    for scale in (1.0, 2.0):
        head = {"projector.0.weight": torch.ones(8, 512), "projector.2.weight": scale * torch.ones(4, 8)}
        encoder = loads({**backbone, **head}, resnet18, images)
        digests.add((encoder.digest, encoder.project_digest))
    assert len(digests) == 2
    assert len({digest for digest, _ in digests}) == 1


def test_a_classifier_is_no_projector(loads, resnet18: nn.Module, images: Tensor) -> None:
    state = {**resnet18.state_dict(), "fc.weight": torch.ones(10, 512), "fc.bias": torch.ones(10)}
    assert loads(state, resnet18, images).project is None


@pytest.mark.parametrize(
    "damage",
    [
        {"projector.1.running_mean": torch.ones(8)},
        {"projector.1.weight": torch.ones(8), "projector.1.running_mean": torch.ones(8)},
        {"projector.0.bias": torch.ones(3)},
        {"projector.0.weight": torch.full((8, 512), float("nan"))},
    ],
)
def test_a_damaged_projector_is_none(loads, resnet18: nn.Module, images: Tensor, damage: dict) -> None:
    content = {f"backbone.{k}": v for k, v in resnet18.state_dict().items()}
    content |= {"projector.0.weight": torch.ones(8, 512), "projector.3.weight": torch.ones(4, 8)} | damage
    assert loads(content, resnet18, images).project is None


def test_layers_that_do_not_chain_are_no_projector(loads, resnet18: nn.Module, images: Tensor) -> None:
    content = {**{f"backbone.{k}": v for k, v in resnet18.state_dict().items()}}
    content |= {"projector.0.weight": torch.ones(8, 512), "projector.2.weight": torch.ones(8, 9)}
    assert loads(content, resnet18, images).project is None


def test_own_checkpoints_bring_theirs(tmp_path: Path) -> None:
    registry = installed()
    train(
        registry.methods.get("simclr"),
        subset(load_dataset("digits"), max_images=64),
        output=tmp_path / "own.pt",
        named=registry.recipes.usable(),
        choices=Choices(size=8, recipe="crop(scale=0.5)", epochs=1, batch_size=32),
    )
    stored = torch.load(tmp_path / "own.pt", weights_only=True)["projector"]
    encoder = load_encoder(str(tmp_path / "own.pt"))
    with torch.inference_mode():
        h = encoder.embed(torch.randn(3, 3, 8, 8))
        hidden = torch.relu(h @ stored["0.weight"].T + stored["0.bias"])
        expected = hidden @ stored["2.weight"].T + stored["2.bias"]
        torch.testing.assert_close(encoder.project(h), expected, rtol=1e-5, atol=1e-5)

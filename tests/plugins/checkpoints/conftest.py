"""Networks with telling weights, and how a test asks what was loaded."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from sslaudit import Encoder, load_encoder

Telling = Callable[..., nn.Module]
Loads = Callable[..., Encoder]


@pytest.fixture(scope="session")
def telling() -> Telling:
    """``telling(module, seed=1)``: every weight and running statistic drawn anew, in eval mode."""

    def draw(module: nn.Module, seed: int = 1) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, tensor in module.state_dict().items():
                if name.endswith("running_var"):
                    tensor.uniform_(0.5, 2.0, generator=generator)
                elif tensor.is_floating_point() and tensor.ndim < 2:
                    tensor.uniform_(0.2, 1.0, generator=generator)
        return module.eval()

    return draw


@pytest.fixture(scope="session")
def resnet18(telling: Telling) -> nn.Module:
    """A ResNet-18 without classifier."""
    torch.manual_seed(7)
    model = torchvision.models.resnet18(weights=None)
    model.fc = nn.Identity()
    return telling(model)


@pytest.fixture(scope="session")
def images() -> Tensor:
    """Two images of 64 pixels."""
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def loads(tmp_path: Path) -> Loads:
    """``loads(content, reference, images)``: the file of ``content`` embeds as ``reference`` does."""

    def check(
        content: object,
        reference: nn.Module,
        images: Tensor,
        *,
        options: str = "",
        scheme: str = "file",
        name: str = "model.pth",
    ) -> Encoder:
        path = tmp_path / name
        torch.save(content, path)
        encoder = load_encoder(f"{scheme}{options}:{path}")
        with torch.inference_mode():
            embeddings = encoder.embed(images)
            torch.testing.assert_close(embeddings, reference(images), rtol=1e-5, atol=1e-5)
        assert embeddings.shape == (len(images), encoder.dim)
        assert encoder.load.matched == encoder.load.expected > 0
        return encoder

    return check

"""Small repositories in the two formats, made by the libraries that define them."""

from pathlib import Path

import pytest
import timm
import torch
from timm.models import save_for_hf


def timm_folder(folder: Path, name: str = "resnet18", *, seed: int = 0, classes: int = 10) -> torch.nn.Module:
    """A repository in timm's own layout, saved by timm; the model with its classifier is returned."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = timm.create_model(name, num_classes=classes)
    with torch.no_grad():
        for buffer in model.buffers():  # statistics as after training, so that a lost one shows
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(seed))
    normalisation = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.2, 0.2)}
    save_for_hf(model, folder, {"pretrained_cfg": normalisation}, safe_serialization=True)
    return model.eval()


@pytest.fixture(scope="session")
def timm_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``resnet18`` with 10 classes in timm's layout."""
    folder = tmp_path_factory.mktemp("timm-repo")
    timm_folder(folder)
    return folder

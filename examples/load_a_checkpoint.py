"""How a checkpoint loads, from Python: a file as MoCo v2 writes it, its branches, projector, and a refusal.

python examples/load_a_checkpoint.py
"""

import tempfile
from pathlib import Path

import torch
import torchvision

import sslaudit


def moco(folder: Path) -> Path:
    """A file with the layout of facebookresearch/moco, its weights drawn at random."""
    state = {"module.queue": torch.randn(128, 64), "module.queue_ptr": torch.zeros(1)}
    for branch in ("encoder_q", "encoder_k"):
        network = torchvision.models.resnet18(weights=None)
        layers = torch.nn.Linear(512, 512), torch.nn.ReLU(), torch.nn.Linear(512, 128)
        network.fc = torch.nn.Sequential(*layers)
        state |= {f"module.{branch}.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"epoch": 200, "arch": "resnet18", "state_dict": state}, folder / "checkpoint_0199.pth.tar")
    return folder / "checkpoint_0199.pth.tar"


with tempfile.TemporaryDirectory() as place:
    path = moco(Path(place))

    encoder = sslaudit.load_encoder(str(path))
    print(f"{encoder.name}, {encoder.dim}-d, {encoder.facts['layout']}")
    print(f"{encoder.load.matched} of {encoder.load.expected} tensors behind '{encoder.load.prefix}'")
    print(f"also there: {', '.join(encoder.load.others)}")
    print(f"left out:   {', '.join(encoder.load.ignored)}")
    print(f"normalised: {encoder.preprocess.source}")

    images = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        embeddings = encoder.embed(images)
        projections = encoder.project(embeddings)
    print(f"embeddings {tuple(embeddings.shape)}, projections {tuple(projections.shape)}")

    momentum = sslaudit.load_encoder(f"file,key=encoder_k:{path}")
    print(f"another branch, another digest: {momentum.digest != encoder.digest}")

    try:
        sslaudit.load_encoder(f"file,arch=resnet50:{path}")
    except sslaudit.EncoderError as refusal:
        print(str(refusal).replace(place, "..."))

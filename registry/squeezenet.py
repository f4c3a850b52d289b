"""SqueezeNet 1.1 from a pickle of arrays (ndf 0.1.4) to a checkpoint in torchvision's layout.

    python -m registry.squeezenet squeezenet_weights.pkl squeezenet1_1.pth

The arrays are height, width, input, output and named as in Caffe, whose inputs are BGR, 0 to 255, less a
mean. The first convolution is rewritten for RGB in ImageNet's normalisation; it pads nothing, so the network
computes what it did.
"""

import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

CAFFE_MEAN = np.array([104.0, 117.0, 123.0])
"""Blue, green, red."""
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
"""Of ImageNet: red, green, blue."""
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


class _Arrays(pickle.Unpickler):
    """Reads arrays, and refuses to run anything."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def state_dict(pickled: Path) -> dict[str, torch.Tensor]:
    """The weights in ``pickled`` under torchvision's names."""
    with warnings.catch_warnings(), pickled.open("rb") as file:
        warnings.simplefilter("ignore")  # numpy says of pickles of Python 2 that they are old
        arrays = _Arrays(file, encoding="latin1").load()
    arrays["conv1"] = _for_rgb(*arrays["conv1"])
    parts = {"features.0": "conv1", "classifier.1": "conv10"}
    for fire, place in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True):
        parts[f"features.{place}.squeeze"] = f"fire{fire}/squeeze1x1"
        parts |= {f"features.{place}.expand{k}": f"fire{fire}/expand{k}" for k in ("1x1", "3x3")}
    state = {}
    for part, name in parts.items():
        weight, bias = arrays[name]
        state[f"{part}.weight"] = torch.from_numpy(np.ascontiguousarray(weight.transpose(3, 2, 0, 1)))
        state[f"{part}.bias"] = torch.from_numpy(bias.copy())
    return state


def _for_rgb(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W (3, 3, BGR, 64) on 255 p - m, as W' (3, 3, RGB, 64) on (p - MEAN) / STD, for p in [0, 1]."""
    weight = weight.astype(np.float64)[:, :, ::-1]
    shift = 255 * MEAN - CAFFE_MEAN[::-1]
    scaled = weight * (255 * STD)[:, None]
    moved = bias + np.einsum("hwio,i->o", weight, shift)
    return scaled.astype(np.float32), moved.astype(np.float32)


if __name__ == "__main__":
    source, target = sys.argv[1:]
    torch.save(state_dict(Path(source)), target)

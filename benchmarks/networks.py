"""The networks: timm models with random weights, equal for every contender."""

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.race import fastest
from sslaudit import Preprocess


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A timm model without classifier, (B, 3, H, W) to (B, D), in eval mode."""

    name: str
    module: nn.Module
    preprocess: Preprocess
    """What timm records for the model."""
    device: str

    def fresh(self, *, channels_last: bool = False) -> nn.Module:
        """A copy with the same weights: contenders change the memory format of theirs."""
        module = copy.deepcopy(self.module).eval().to(self.device)
        return module.to(memory_format=torch.channels_last) if channels_last else module


def build(architecture: str, name: str, *, size: int, device: str = "cpu") -> Network:
    """The network of a timm ``architecture`` at an input of ``size`` pixels, weights of seed 0."""
    import timm  # here, since the processes of ``cost`` build none and start faster without it

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = timm.create_model(architecture, pretrained=False, num_classes=0).eval()
    config = timm.data.resolve_model_data_config(module)
    preprocess = Preprocess(
        size=(size, size),
        mean=config["mean"],
        std=config["std"],
        interpolation=config["interpolation"],
        crop=config["crop_pct"],
    )
    return Network(name=name, module=module, preprocess=preprocess, device=device)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mode:
    """How a peer runs a network."""

    name: str
    channels_last: bool
    bf16: bool
    batch_size: int

    def autocast(self, device: str) -> AbstractContextManager[object]:
        """bfloat16 where the mode says so."""
        return torch.autocast(device, dtype=torch.bfloat16) if self.bf16 else nullcontext()

    def inputs(self, images: Tensor) -> Tensor:
        """``images`` in the memory format of the mode."""
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images


USUAL_BATCH = 64
"""The default of CLIP_benchmark, and what most scripts for a CPU write."""


def usual_mode() -> Mode:
    """As a script runs it that asks for nothing."""
    return Mode(name="float32", channels_last=False, bf16=False, batch_size=USUAL_BATCH)


def best_mode(network: Network, batch_size: int) -> Mode:
    """channels_last, small batches, and bfloat16 autocast where that is faster, measured here."""
    plain = Mode(name="channels_last", channels_last=True, bf16=False, batch_size=batch_size)
    mixed = Mode(name="channels_last + bf16", channels_last=True, bf16=True, batch_size=batch_size)
    return min((plain, mixed), key=lambda mode: _forward_seconds(network, mode))


@torch.inference_mode()
def _forward_seconds(network: Network, mode: Mode) -> float:
    module = network.fresh(channels_last=mode.channels_last)
    images = mode.inputs(torch.zeros(4, 3, *network.preprocess.size, device=network.device))
    with mode.autocast(network.device):
        return fastest(lambda: module(images).sum().item())

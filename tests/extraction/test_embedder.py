"""The fast form of an encoder gives what the encoder gives, or is not taken."""

from dataclasses import replace

import pytest
import timm
import torch
from torch import Tensor, nn

from sslaudit import Preprocess, UsageError
from sslaudit.encoder import Encoder, from_module, module_digest
from sslaudit.extraction import Embedder, Extraction, embed_batch
from sslaudit.recipes import BUILTIN_RECIPES, parse_recipe

HOW = Extraction(
    recipe=parse_recipe("simclr", {spec.name: spec for spec in BUILTIN_RECIPES}),
    views=1,
    seed=0,
    batch_size=8,
)
LARGE = Preprocess(size=(96, 96), mean=(0.5,) * 3, std=(0.5,) * 3)
PROBE = torch.randint(256, (11, 3, 96, 96), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def scrambled(name: str) -> nn.Module:
    """A timm model whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(0.5, 1.5)
    return model


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm(dim=1).max() / b.norm(dim=1).max())


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_050", "convnext_atto"])
def test_features_are_those_of_the_network(name: str) -> None:
    encoder = from_module(scrambled(name), preprocess=LARGE)
    before = module_digest(encoder.module)
    assert apart(Embedder(encoder, HOW)(PROBE), embed_batch(encoder, PROBE, HOW)) < 1e-5
    assert module_digest(encoder.module) == before
    assert all(p.is_contiguous() for p in encoder.module.parameters())


def test_batch_norm_is_folded_and_images_lie_channels_last() -> None:
    seen: list[Tensor] = []

    class Watched(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return super().forward(x)

    net = nn.Sequential(
        Watched(3, 8, 3), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    net[2].running_var.fill_(4.0)
    encoder = from_module(net, preprocess=LARGE)
    calls: list[None] = []
    net[2].register_forward_hook(lambda *_: calls.append(None))
    embedder = Embedder(encoder, HOW)
    calls.clear(), seen.clear()
    out = embedder(PROBE)
    assert not calls  # the batch norm of the encoder did not run
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)
    assert apart(out, embed_batch(encoder, PROBE, HOW)) < 1e-5


class Views(nn.Module):
    """``view`` where only ``reshape`` would do for another memory layout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 5, stride=8)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).view(len(x), -1)


class Order(nn.Module):
    """Reads the memory of its input, not its elements."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_strided(x, (len(x), 16), (x.stride(0), 1))


class Branches(nn.Module):
    """Python control flow over values, which no symbolic trace can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(x)
        return (y * 2 if float(y.sum()) > 0 else y).mean(dim=(2, 3))


class Float32(nn.Module):
    """Multiplies by a float32 tensor of its own making: bfloat16 weights do not fit it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean(dim=(2, 3)) @ torch.eye(3))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", [Views, Order, Branches, Float32])
def test_what_cannot_run_faster_runs_as_it_is(kind: type[nn.Module], precision: str) -> None:
    torch.manual_seed(0)
    how = replace(HOW, precision=precision)
    encoder = from_module(kind(), preprocess=LARGE)
    out = Embedder(encoder, how)(PROBE)
    assert apart(out, embed_batch(encoder, PROBE, HOW)) < (1e-5 if precision == "fp32" else 2e-2)


def test_bf16_computes_in_bf16_and_answers_in_float32() -> None:
    seen: list[torch.dtype] = []
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net[1].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    encoder = from_module(net, preprocess=LARGE)
    embedder = Embedder(encoder, replace(HOW, precision="bf16"))
    seen.clear()
    out = embedder(PROBE)
    assert set(seen) == {torch.bfloat16}
    assert out.dtype == torch.float32
    assert net[0].weight.dtype == torch.float32
    assert 0 < apart(out, embed_batch(encoder, PROBE, HOW)) < 2e-2


class Small(nn.Module):
    """Has memory for so many images."""

    def __init__(self, most: int, error: type[RuntimeError] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.most, self.error = most, error

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return x.mean(dim=(2, 3))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_short_memory_halves_the_batch_and_says_so(error: type[RuntimeError]) -> None:
    said: list[str] = []
    encoder = from_module(Small(3, error), preprocess=LARGE)
    embedder = Embedder(encoder, HOW, on_message=said.append)
    out = embedder(PROBE)
    torch.testing.assert_close(out, PROBE.float().div(127.5).sub(1).mean(dim=(2, 3)), atol=1e-6, rtol=0)
    assert embedder.rows == 2
    assert said == [f"memory of cpu is short; going on with batches of {rows}." for rows in (4, 2)]


def test_one_image_too_many_is_an_error() -> None:
    encoder = from_module(Small(1), preprocess=LARGE)
    embedder = Embedder(encoder, HOW)
    encoder.module.most = 0
    with pytest.raises(UsageError, match="does not fit into the memory of cpu with a single image"):
        embedder(PROBE)


def test_other_errors_are_not_taken_for_short_memory() -> None:
    encoder = from_module(Small(8), preprocess=LARGE)
    embedder = Embedder(encoder, HOW)
    encoder.module.forward = lambda x: (_ for _ in ()).throw(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        embedder(PROBE)


def projecting(net: nn.Module) -> Encoder:
    return replace(from_module(net, preprocess=LARGE), project=lambda h: h[:, :2] * 3)


def test_the_projection_is_that_of_the_embedding() -> None:
    encoder = projecting(scrambled("resnet18"))
    embedder = Embedder(encoder, HOW)
    z = embedder.of(replace(HOW, space="projection"))(PROBE)
    assert torch.equal(z, embedder(PROBE)[:, :2] * 3)


@pytest.mark.slow
def test_a_compiled_encoder_gives_the_same_features() -> None:
    """Also for a last batch that is smaller, which is filled up to the compiled shape."""
    encoder = from_module(scrambled("resnet18"), preprocess=LARGE)
    compiled = Embedder(encoder, replace(HOW, compiled=True))
    whole, rest = PROBE[:8], PROBE[8:]
    for images in (whole, rest):
        assert apart(compiled(images), embed_batch(encoder, images, HOW)) < 1e-4

"""BYOL, MoCo, SimSiam and VICReg: what the loss is made of, what follows a step, what gets a gradient."""

import copy
import inspect
import math
import pickle

import pytest
import torch
from torch import Tensor, nn

from sslaudit.errors import UsageError
from sslaudit.train import methods
from sslaudit.train.losses import info_nce, negative_cosine
from sslaudit.train.losses import vicreg as vicreg_loss
from sslaudit.train.methods import Method, byol, moco, simsiam, vicreg
from sslaudit.train.specs import SPECS

NAMES = ("simclr", "barlow_twins", "byol", "moco", "simsiam", "vicreg")


def backbone() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU())


def built(name: str, seed: int = 0, **options: object) -> Method:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return getattr(methods, name)(backbone(), 8, **options)


def views(n: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    return tuple(torch.randn(2, n, 3, 2, 2, generator=torch.Generator().manual_seed(seed)))


def train(method: Method, steps: range, of: int, sizes: tuple[int, ...] = (6,)) -> torch.optim.Optimizer:
    optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
    for step in steps:
        optimiser.zero_grad()
        method(*views(sizes[step % len(sizes)], seed=step)).backward()
        optimiser.step()
        method.after_step((step + 1) / of)
    return optimiser


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec.build], ids=lambda spec: spec.name)
def test_builders_have_the_declared_defaults(spec: object) -> None:
    parameters = inspect.signature(getattr(methods, spec.name.replace("-", "_"))).parameters
    found = {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert found == {option.name.replace("-", "_"): option.default for option in spec.options}


def test_heads_have_the_layers_of_the_papers() -> None:
    def layers(head: nn.Module) -> list[str]:
        return [str(tuple(m.weight.shape)) if isinstance(m, nn.Linear) else type(m).__name__ for m in head]

    inner = ["BatchNorm1d", "ReLU"]
    online = built("byol", out=6)
    assert layers(online.projector) == ["(16, 8)", *inner, "(6, 16)"]
    assert layers(online.predictor) == ["(16, 6)", *inner, "(6, 16)"]
    assert layers(built("moco").projector) == ["(8, 8)", "ReLU", "(128, 8)"]
    three = built("simsiam")
    assert layers(three.projector) == ["(8, 8)", *inner, "(8, 8)", *inner, "(8, 8)", "BatchNorm1d"]
    assert not three.projector[-1].affine
    assert layers(three.predictor) == ["(2, 8)", *inner, "(8, 2)"]
    two = built("simsiam", layers=2, hidden=5, out=3)
    assert layers(two.projector) == ["(5, 8)", *inner, "(3, 5)", "BatchNorm1d"]
    assert layers(two.predictor) == ["(1, 3)", *inner, "(3, 1)"]
    assert layers(built("vicreg").projector) == ["(32, 8)", *inner, "(32, 32)", *inner, "(32, 32)"]


def test_the_losses_are_those_of_the_papers() -> None:
    a, b = views()
    method = built("byol").eval()
    p = [method.predictor(method.projector(method.backbone(view))) for view in (a, b)]
    z = [method.target(view) for view in (a, b)]
    unit = nn.functional.normalize
    expected = sum((unit(x) - unit(y)).square().sum(dim=1).mean() for x, y in zip(p, z[::-1], strict=True))
    torch.testing.assert_close(method(a, b), expected)

    method = built("simsiam").eval()
    z = [method.projector(method.backbone(view)) for view in (a, b)]
    p = [method.predictor(x) for x in z]
    expected = (negative_cosine(p[0], z[1]) + negative_cosine(p[1], z[0])) / 2
    torch.testing.assert_close(method(a, b), expected)

    method = vicreg(backbone(), 8, invariance=1.0, variance=2.0, covariance=3.0).eval()
    z = [method.projector(method.backbone(view)) for view in (a, b)]
    expected = vicreg_loss(*z, invariance=1.0, variance=2.0, covariance=3.0)
    torch.testing.assert_close(method(a, b), expected)

    for symmetric in (False, True):
        method = built("moco", queue=7, symmetric=symmetric, temperature=0.3).eval()
        train(method, range(1), of=4)
        q = [method.projector(method.backbone(view)) for view in (a, b)]
        k = [method.target(view) for view in (a, b)]
        entered = method.queue[: int(method.entered)]  # 7 places, 6 or 12 keys
        ways = [info_nce(q[i], k[1 - i], entered, temperature=0.3) for i in range(1 + symmetric)]
        torch.testing.assert_close(method(a, b), sum(ways) / len(ways))


@pytest.mark.parametrize("name", ["byol", "moco"])
def test_a_target_follows_exactly_and_gets_no_gradient(name: str) -> None:
    method = built(name, momentum=0.9)
    online = nn.Sequential(method.backbone, method.projector)
    followed = [p.detach().clone() for p in online.parameters()]
    assert all(torch.equal(p, q) for p, q in zip(method.target.parameters(), followed, strict=True))
    optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
    for step in range(1, 6):
        optimiser.zero_grad()
        method(*views(seed=step)).backward()
        optimiser.step()
        method.after_step(step / 5)
        momentum = 1 - 0.1 * (math.cos(math.pi * step / 5) + 1) / 2 if name == "byol" else 0.9
        for old, new in zip(followed, online.parameters(), strict=True):
            old.mul_(momentum).add_(new.detach(), alpha=1 - momentum)
        for p, q in zip(method.target.parameters(), followed, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)
            assert p.grad is None
            assert not p.requires_grad
    if name == "byol":  # at the last step the momentum is 1
        before = copy.deepcopy(method.target.state_dict())
        method.after_step(1.0)
        assert all(torch.equal(before[key], value) for key, value in method.target.state_dict().items())


def test_stop_gradient_takes_exactly_the_gradient_of_the_targets() -> None:
    """With it the loss is linear in fixed targets; without, the targets' share is added."""
    a, b = views()
    gradients = []
    for stop in (True, False):
        method = built("simsiam", stop_gradient=stop)
        z = [method.projector(method.backbone(view)).detach().requires_grad_() for view in (a, b)]
        p = [method.predictor(x) for x in z]
        p_only = torch.autograd.grad((negative_cosine(p[0], z[1].detach()) / 2), z[0], retain_graph=True)[0]
        both = p_only + torch.autograd.grad(negative_cosine(p[1].detach(), z[0]) / 2, z[0])[0]
        seen: list[Tensor] = []
        method = built("simsiam", stop_gradient=stop)
        method.projector.register_forward_hook(lambda module, args, out, seen=seen: seen.append(out))
        method.projector[-1].register_forward_hook(lambda module, args, out: out.retain_grad())
        method(a, b).backward()
        torch.testing.assert_close(seen[0].grad, p_only if stop else both)
        gradients.append(seen[0].grad)
    assert not torch.allclose(*gradients)


def collapse(method: Method) -> tuple[float, float]:
    """The loss after 300 steps, and how far the effective rank of projections is above 1."""
    optimiser = torch.optim.Adam(method.parameters(), lr=1e-2)
    images = torch.randn(64, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    noise = torch.Generator().manual_seed(2)
    for _ in range(300):
        a, b = (images + 0.5 * torch.randn(images.shape, generator=noise) for _ in range(2))
        loss = method(a, b)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        z = nn.functional.normalize(method.projector(method.backbone(images)), dim=1)
    shares = torch.linalg.svdvals(z - z.mean(dim=0)).square()
    shares = shares / shares.sum()
    return loss.item(), float(torch.special.entr(shares).sum().exp()) - 1


def test_without_stop_gradient_simsiam_collapses() -> None:
    healthy, rank = collapse(built("simsiam"))
    collapsed, line = collapse(built("simsiam", stop_gradient=False))
    assert collapsed < -0.98 < healthy
    assert line < rank / 2


def test_the_queue_holds_the_newest_keys_and_wraps_around() -> None:
    """Sizes that divide nothing, batches larger than the queue, and nothing but keys as negatives."""
    method = moco(backbone(), 8, queue=7, momentum=1.0, out=4)  # the target stays as it is
    assert method(*views()).item() == 0  # no negatives yet
    assert method.entered == 0  # a loss without a step leaves no trace
    assert not method.queue.any()
    entered: list[Tensor] = []
    for step, n in enumerate((3, 3, 5, 1, 9, 20, 2)):
        a, b = views(n, seed=step)
        if n == 1:
            method.eval()
        method.loss(a, b).backward()
        with torch.no_grad():
            keys = nn.functional.normalize(copy.deepcopy(method.target)(b))
        method.train().after_step(1.0)
        entered += keys
        held = {i % 7: key for i, key in enumerate(entered)}
        assert method.entered == len(entered)
        for place, key in held.items():
            torch.testing.assert_close(method.queue[place], key)
        assert not method.queue[len(held) :].any()


def test_moco_contrasts_with_the_queue_as_it_was_before_the_step() -> None:
    method = built("moco", queue=5)
    train(method, range(2), of=4)
    before = method.queue.clone()
    method(*views(seed=9)).backward()
    assert torch.equal(method.queue, before)
    method.after_step(0.75)
    assert not torch.equal(method.queue, before)


@pytest.mark.parametrize(("n", "splits", "parts"), [(8, 4, 4), (7, 3, 3), (5, 4, 2), (2, 8, 1), (3, 2, 1)])
def test_splits_show_batch_norm_one_part_at_a_time(n: int, splits: int, parts: int) -> None:
    method = built("moco", splits=splits)
    sizes: list[int] = []
    method.backbone[2].register_forward_hook(lambda module, args, out: sizes.append(len(out)))
    method.backbone.register_forward_hook(lambda module, args, out: outputs.append(out))
    outputs: list[Tensor] = []
    a, b = views(n)
    method(a, b)
    assert len(sizes) == parts
    assert sum(sizes) == n
    assert min(sizes) >= 2
    expected = torch.cat([copy.deepcopy(method.backbone)(part) for part in a.tensor_split(parts)])
    torch.testing.assert_close(torch.cat(outputs[:parts]), expected)
    assert method.backbone[2].momentum == pytest.approx(0.1 / splits)


def test_shuffled_keys_come_back_in_order() -> None:
    plain, split = (built("moco", splits=splits, queue=6).eval() for splits in (1, 3))
    before = torch.random.get_rng_state()
    plain(*views())
    assert torch.equal(before, torch.random.get_rng_state())
    split(*views())
    assert not torch.equal(before, torch.random.get_rng_state())
    for method in (plain, split):
        method.after_step(0.5)
    torch.testing.assert_close(split.queue, plain.queue)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_goes_on_exactly_in_a_method_built_anew(name: str) -> None:
    """Queue, target and batch norm are all in the state; partial batches and pickling are no matter."""
    whole, first = built(name), built(name)
    train(whole, range(6), of=6, sizes=(6, 5))
    train(first, range(3), of=6, sizes=(6, 5))
    second = built(name, seed=5)
    second.load_state_dict(first.state_dict())
    for resumed in (second, pickle.loads(pickle.dumps(first)), copy.deepcopy(first)):
        train(resumed, range(3, 6), of=6, sizes=(6, 5))
        for key, value in whole.state_dict().items():
            assert torch.equal(resumed.state_dict()[key], value), key


@pytest.mark.parametrize("name", NAMES)
def test_every_trained_parameter_gets_a_finite_gradient(name: str) -> None:
    """In float32 and under autocast in bfloat16; data-parallel wrappers ask for all of them."""
    options = {"queue": 9, "symmetric": True, "splits": 2} if name == "moco" else {}
    for enabled in (False, True):
        method = built(name, **options)
        train(method, range(1), of=3)
        method.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = method(*views(5))
        assert loss.dtype is torch.float32
        loss.backward()
        method.after_step(0.5)
        for key, p in method.named_parameters():
            assert p.requires_grad is not key.startswith("target."), key
            assert not p.requires_grad or torch.isfinite(p.grad).all(), key


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (byol, {"momentum": 1.1}),
        (moco, {"momentum": -0.1}),
        (moco, {"temperature": 0.0}),
        (moco, {"temperature": float("nan")}),
        (moco, {"queue": 0}),
        (moco, {"splits": 0}),
        (simsiam, {"layers": 4}),
        (vicreg, {"variance": -1.0}),
    ],
)
def test_options_that_mean_nothing_are_refused(build: object, options: dict[str, float]) -> None:
    ((option, value),) = options.items()
    with pytest.raises(UsageError, match=f"{build.__name__}: option {option}={value} must "):
        build(nn.Identity(), 4, **options)

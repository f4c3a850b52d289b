"""Training: it learns, it repeats, it refuses, and its file is all that ``evaluate`` needs."""

import dataclasses
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sslaudit import TrainingError, UsageError, load_dataset, load_encoder
from sslaudit.data import Dataset, subset
from sslaudit.encoder import Preprocess
from sslaudit.errors import OutputError, UnreadableFile
from sslaudit.registry import installed
from sslaudit.specs import MethodSpec
from sslaudit.train import checkpoint
from sslaudit.train.backbones import build_backbone
from sslaudit.train.choices import Choices
from sslaudit.train.log import Epoch
from sslaudit.train.loop import train
from sslaudit.train.methods import Method
from sslaudit.views import identity_view


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def run(
    data: Dataset, output: Path, method: str | MethodSpec = "simclr", **changed: object
) -> checkpoint.Header:
    chosen = {"size": 8, "recipe": "crop(scale=0.5)+color", "epochs": 1, "batch_size": 64} | changed
    names = {field.name for field in dataclasses.fields(Choices)}
    choices = Choices(**{name: value for name, value in chosen.items() if name in names})
    rest = {name: value for name, value in chosen.items() if name not in names}
    registry = installed()
    spec = registry.methods.get(method) if isinstance(method, str) else method
    rest = {"overwrite": True, **rest}
    return train(spec, data, output=output, named=registry.recipes.usable(), choices=choices, **rest)


def method_of(loss: Callable[[Method, Tensor, Tensor], Tensor]) -> MethodSpec:
    """A method with this loss and the backbone as it is."""

    class Mine(Method):
        def loss(self, view_a: Tensor, view_b: Tensor) -> Tensor:
            return loss(self, view_a, view_b)

    return MethodSpec(
        name="mine", summary="", source="", build=lambda backbone, dim: Mine(backbone, nn.Identity())
    )


@pytest.mark.parametrize("method", ["simclr", "barlow-twins"])
def test_the_file_says_everything(digits: Dataset, tmp_path: Path, method: str) -> None:
    header = run(subset(digits, max_images=200), tmp_path / "x.pt", method)
    encoder = load_encoder(str(tmp_path / "x.pt"))
    stored = torch.load(tmp_path / "x.pt", weights_only=True)
    assert stored["sslaudit"]["method"] == encoder.facts["method"] == method
    assert encoder.facts["recipe"] == header.recipe == "crop(scale=0.5)+color@1"
    assert encoder.preprocess.size == (8, 8)
    assert encoder.preprocess.source == "checkpoint header"
    assert encoder.preprocess.mean == (0.5, 0.5, 0.5)
    assert encoder.load.ignored[0].startswith("projector (")
    net = build_backbone("conv3")
    net.load_state_dict(stored["backbone"])
    images = torch.randn(3, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.embed(images), net.eval()(images))


def test_a_seed_repeats_and_global_randomness_is_left_alone(digits: Dataset, tmp_path: Path) -> None:
    few = subset(digits, max_images=200)
    before = torch.random.get_rng_state()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(few, tmp_path / name, seed=seed)
    a, b, c = (torch.load(tmp_path / name, weights_only=True)["backbone"] for name in "abc")
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["0.weight"], c["0.weight"])


def test_all_training_images_are_read_and_no_held_out_one(digits: Dataset, tmp_path: Path) -> None:
    read: set[int] = set()

    def watched(i: int) -> np.ndarray:
        read.add(i)
        return digits.read(i)

    run(dataclasses.replace(digits, read=watched), tmp_path / "x.pt", batch_size=256)
    assert read == set(digits.train.tolist())


@pytest.mark.parametrize(("images", "batch"), [(33, 8), (33, 32), (33, 10), (33, 33), (33, 500)])
@pytest.mark.parametrize("method", ["simclr", "barlow-twins"])
def test_any_last_batch_trains(digits: Dataset, tmp_path: Path, method: str, images: int, batch: int) -> None:
    """Thirty-three training images: the last batch has one image, three, or all."""
    few = dataclasses.replace(digits, train=digits.train[:images])
    losses: list[Epoch] = []
    run(few, tmp_path / "x.pt", method, batch_size=batch, epochs=2, on_epoch=losses.append)
    assert len(losses) == 2
    assert all(np.isfinite(epoch.loss) and 0 <= epoch.spread <= 1.01 for epoch in losses)


def digits_as_inputs(data: Dataset) -> Tensor:
    """The identity view of every digit, (N, 3, 8, 8)."""
    preprocess = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3)
    pixels = np.stack([identity_view(data.read(i), preprocess) for i in range(len(data))])
    return preprocess.normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def few_shot_accuracy(net: nn.Module, data: Dataset) -> float:
    """1-NN on held-out digits with three training digits of each class, mean over 20 draws of them."""
    with torch.inference_mode():
        h = net.eval()(digits_as_inputs(data))
    h, labels = nn.functional.normalize(h).numpy(), data.labels
    rng, right = np.random.default_rng(0), []
    for _ in range(20):
        classes = [data.train[labels[data.train] == k] for k in range(10)]
        shots = np.concatenate([rng.choice(members, 3, replace=False) for members in classes])
        nearest = (h[data.test] @ h[shots].T).argmax(axis=1)
        right.append((labels[shots][nearest] == labels[data.test]).mean())
    return float(np.mean(right))


@pytest.mark.parametrize("method", ["simclr", "barlow-twins"])
def test_it_learns_on_the_digits(digits: Dataset, tmp_path: Path, method: str) -> None:
    """A few epochs lift few-shot accuracy far above the untrained copy, labels unseen."""
    net = build_backbone("conv3", seed=0)
    untrained = few_shot_accuracy(net, digits)
    unlabelled = dataclasses.replace(digits, labels=None)
    run(unlabelled, tmp_path / "x.pt", method, epochs=8, batch_size=128, lr=3e-3)
    net.load_state_dict(torch.load(tmp_path / "x.pt", weights_only=True)["backbone"])
    assert few_shot_accuracy(net, digits) > untrained + 0.04


def test_nothing_is_trained_from_bad_choices(digits: Dataset, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, object], type[Exception], str]] = [
        ({"epochs": 0}, UsageError, "not trained is not written"),
        ({"batch_size": 1}, UsageError, "at least 2"),
        ({"lr": 0.0}, UsageError, "--lr"),
        ({"recipe": "none"}, UsageError, "draws no views"),
        ({"backbone": "conv2"}, UsageError, "conv3"),
        ({"optimiser": "adam"}, UsageError, "--optimiser adam is none of adamw, sgd, lars"),
        ({"precision": "fp16"}, UsageError, "training on cpu takes fp32 or bf16"),
        ({"clip": 0.0}, UsageError, "--clip"),
        ({"warm_up": 1.5}, UsageError, "--warm-up"),
        ({"momentum": 1.0}, UsageError, "--momentum"),
        ({"weight_decay": -1.0}, UsageError, "--weight-decay"),
        ({"keep_every": 0}, UsageError, "--keep-every"),
    ]
    for changed, kind, said in cases:
        with pytest.raises(kind, match=said):
            run(digits, tmp_path / "x.pt", **changed)
    with pytest.raises(TrainingError, match="needs at least 2"):
        run(dataclasses.replace(digits, train=digits.train[:1]), tmp_path / "x.pt")
    with pytest.raises(TrainingError, match="has 0 training images of 1797"):
        run(dataclasses.replace(digits, train=digits.train[:0]), tmp_path / "x.pt")
    with pytest.raises(OutputError, match="is no regular file"):
        checkpoint.check_output(Path("/dev/null"))
    with pytest.raises(OutputError, match=r"cannot write to --output y+: File name too long"):
        checkpoint.check_output(Path("y" * 300))
    with pytest.raises(OutputError, match="is a folder"):
        run(digits, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        run(digits, tmp_path / "file" / "x.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_a_loss_that_is_not_finite_stops_at_its_step_and_writes_nothing(
    digits: Dataset, tmp_path: Path
) -> None:
    losses = iter([1.0, 1.0, np.nan])
    spec = method_of(lambda method, a, b: method.backbone(a).mean() * next(losses))
    few = dataclasses.replace(digits, train=digits.train[:64])
    with pytest.raises(TrainingError, match=r"loss is nan at step 3 \(epoch 2\); nothing was written"):
        run(few, tmp_path / "x.pt", spec, batch_size=32, epochs=4)
    with pytest.raises(TrainingError, match="at step"):
        run(few, tmp_path / "x.pt", "barlow-twins", lr=1e30, epochs=5)
    assert not list(tmp_path.glob("*.pt"))


def test_every_step_trains_in_training_mode(digits: Dataset, tmp_path: Path) -> None:
    modes: list[bool] = []

    def watched(method: Method, a: Tensor, b: Tensor) -> Tensor:
        modes.append(method.training and method.backbone.training)
        return method.backbone(a).mean()

    run(subset(digits, max_images=100), tmp_path / "x.pt", method_of(watched), epochs=3, batch_size=32)
    assert len(modes) > 3
    assert all(modes)


def test_weights_that_are_not_finite_after_the_last_step_are_not_written(
    digits: Dataset, tmp_path: Path
) -> None:
    """The loss is 0 and its gradient 0 times infinity."""
    spec = method_of(lambda method, a, b: (0 * method.backbone(a)).sum().sqrt())
    with pytest.raises(TrainingError, match=r"no longer finite at step 1 \(epoch 1\)"):
        run(subset(digits, max_images=64), tmp_path / "x.pt", spec)
    assert not list(tmp_path.glob("*.pt"))


def test_a_full_disk_leaves_the_last_good_file(digits: Dataset, tmp_path: Path) -> None:
    few = dataclasses.replace(digits, train=digits.train[:64])
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(epoch: Epoch) -> None:
        if epoch.number == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))

    said = r"cannot write the checkpoint .*x\.pt.* too large\. The last good checkpoint, of epoch 1, stays"
    try:
        with pytest.raises(OutputError, match=said):
            run(few, tmp_path / "x.pt", epochs=3, save_seconds=0, on_epoch=full)
        with pytest.raises(OutputError, match=r"cannot write the checkpoint .*y\.pt.* too large\.$"):
            run(few, tmp_path / "y.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [path.name for path in tmp_path.glob("*.pt")] == ["x.pt"]
    assert not list(tmp_path.glob(".*"))
    assert torch.load(tmp_path / "x.pt", weights_only=True)["sslaudit"]["epoch"] == 1


def test_an_interrupted_run_leaves_the_file_that_was_there(digits: Dataset, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"earlier")

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(subset(digits, max_images=100), tmp_path / "x.pt", epochs=3, on_epoch=stop)
    assert [path.name for path in tmp_path.glob("*.pt")] == ["x.pt"]
    assert (tmp_path / "x.pt").read_bytes() == b"earlier"


@pytest.mark.parametrize(("images", "said"), [(33, 1), (34, 0), (32, 0)])
def test_an_image_left_over_is_said_once(digits: Dataset, tmp_path: Path, images: int, said: int) -> None:
    messages: list[str] = []
    few = dataclasses.replace(digits, train=digits.train[:images])
    run(few, tmp_path / "x.pt", batch_size=16, epochs=3, on_message=messages.append)
    assert len(messages) == said
    assert all("one image over" in message for message in messages)


def test_a_collapse_is_said(digits: Dataset, tmp_path: Path) -> None:
    """Last batch norm at weight 0 and bias 1: every embedding is the same."""

    def constant(method: Method, a: Tensor, b: Tensor) -> Tensor:
        norm = method.backbone[7]
        norm.weight.data.zero_()
        norm.bias.data.fill_(1)
        return (0 * method.backbone(a)).sum()

    messages: list[str] = []
    epochs: list[Epoch] = []
    run(
        subset(digits, max_images=100),
        tmp_path / "x.pt",
        method_of(constant),
        on_message=messages.append,
        on_epoch=epochs.append,
    )
    assert epochs[-1].spread == pytest.approx(0, abs=1e-3)
    assert ["COLLAPSED" in message for message in messages] == [True]


def test_the_header_names_changed_options_and_the_batch_size_that_was_used(
    digits: Dataset, tmp_path: Path
) -> None:
    few = dataclasses.replace(digits, train=digits.train[:40])
    header = run(few, tmp_path / "x.pt", options={"temperature": 0.2}, batch_size=256)
    assert header.method == "simclr(temperature=0.2)"
    assert (header.batch_size, header.images) == (40, 40)


def test_a_method_sees_two_different_views_that_only_seed_and_epoch_decide(
    digits: Dataset, tmp_path: Path
) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def look(method: Method, a: Tensor, b: Tensor) -> Tensor:
        seen.append((a, b))
        return method.backbone(a).sum()

    few = dataclasses.replace(digits, train=digits.train[:40])
    for epochs, lr in ((1, 1e-3), (2, 1e-5)):
        run(few, tmp_path / "x.pt", method_of(look), epochs=epochs, lr=lr)
    (a, b), (again, _), (later, _) = seen
    assert a.shape == b.shape == (40, 3, 8, 8)
    assert a.dtype == torch.float32
    assert -1 <= a.min() < -0.9
    assert 0.9 < a.max() <= 1
    assert not torch.equal(a, b)
    plain = digits_as_inputs(few)[few.train]
    for view in (a, b):  # both are drawn: neither is the identity view
        assert sum(bool((image == plain).flatten(1).all(1).any()) for image in view) < 10
    assert torch.equal(a, again)
    assert not torch.equal(a, later)


def test_training_starts_from_the_weights_of_the_untrained_copy(digits: Dataset, tmp_path: Path) -> None:
    start: dict[str, Tensor] = {}

    def build(backbone: nn.Module, dim: int) -> nn.Module:
        start.update({name: tensor.clone() for name, tensor in backbone.state_dict().items()})
        return nn.Identity()

    spec = MethodSpec(name="mine", summary="", source="", build=build)
    with pytest.raises(TrainingError, match="built a Identity, not a Method"):
        run(subset(digits, max_images=100), tmp_path / "x.pt", spec, seed=3)
    fresh = build_backbone("conv3", seed=3).state_dict()
    assert start.keys() == fresh.keys()
    assert all(torch.equal(start[name], fresh[name]) for name in fresh)


def test_randomness_inside_a_method_repeats(digits: Dataset, tmp_path: Path) -> None:
    def dropped(method: Method, a: Tensor, b: Tensor) -> Tensor:
        return nn.functional.dropout(method.backbone(a)).square().mean()

    few = subset(digits, max_images=100)
    for name in "ab":
        torch.rand(3)
        run(few, tmp_path / name, method_of(dropped))
    a, b = (torch.load(tmp_path / name, weights_only=True)["backbone"] for name in "ab")
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_newer_or_broken_header_is_named(digits: Dataset, tmp_path: Path) -> None:
    run(subset(digits, max_images=100), tmp_path / "x.pt")
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    torch.save({**content, "sslaudit": {**content["sslaudit"], "format": 3}}, tmp_path / "new.pt")
    with pytest.raises(UnreadableFile, match="has format 3"):
        load_encoder(str(tmp_path / "new.pt"))
    header = {name: value for name, value in content["sslaudit"].items() if name != "recipe"}
    torch.save({**content, "sslaudit": header}, tmp_path / "old.pt")
    with pytest.raises(UnreadableFile, match="lacks recipe"):
        load_encoder(str(tmp_path / "old.pt"))

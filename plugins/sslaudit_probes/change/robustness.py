"""The metric ``robustness``: the linear probe on corrupted test images, and on attacked ones."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sslaudit.figures import Bars
from sslaudit.results import Detail, Estimate
from sslaudit_probes.change.attack import PACE, pgd, random_starts
from sslaudit_probes.change.corruptions import corruption
from sslaudit_probes.change.held_out import HeldOut
from sslaudit_probes.change.options import CORRUPTIONS, listed
from sslaudit_probes.change.pixels import IDENTITY, pixel_changes
from sslaudit_probes.classifiers.accuracy import first_best, imbalance
from sslaudit_probes.classifiers.linear_probe import fitted

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs
    from sslaudit_probes.classifiers.logistic import Probe

ATTACK = 1
"""Version of the attack, a part of what its random starts are drawn by."""

_NUMBERS = 2**21
"""Numbers in the images that are attacked at once: 13 images of 224 x 224 pixels."""


def compute(inputs: "MetricInputs") -> dict[str, Estimate]:
    """The metric ``robustness``: accuracy of the linear probe on changed test images.

    Formula: the mean over corruptions T of P(argmax W f(T x) + b = y), W and b fitted on plain
        training images. Row ``attack``: the share of test images x that are right and for which
        projected gradient steps find no x' with |x' - x| <= eps in every pixel that is wrong.
    Shapes: at most ``images`` test images through each corruption, (m, D); pixels (a, 3, H, W) in [0, 1]
        of at most ``attacked`` of them. Costs a forward pass for each corruption, and for each
        attacked image ``steps`` + 2 forward and ``steps`` backward passes.
    Range: 0 to 1; the row ``change``, corrupted minus plain, -1 to 1.
    Typical: measured here on digits resized to 32 x 32: pixels themselves .61 where plain images have .95
        (jpeg .93, contrast .10) and .70 under attack; a small untrained convolutional network .63 and 0.
    High: what the probe reads is still there when images are noisy, blurred, faded or compressed.
    Low: the classes are read from what a corruption destroys. An accuracy near 0 under attack is what
        Madry et al. report for networks that were not trained against it.
    Bias: corruptions that change no pixel are left out. The accuracy under attack errs high: another
        attack can only find more, so it is an upper bound on robust accuracy, not a certificate.
    Source: Hendrycks and Dietterich, ICLR 2019, Section 4; Madry et al., ICLR 2018, Section 2.1.
    """
    probe, tested = fitted(inputs), _tested(inputs)
    right = _right(probe, inputs.embeddings[tested.images], tested)
    corrupted = _corrupted(inputs, probe, tested, right)
    return {
        **corrupted,
        "attack": _attack(inputs, probe, tested.first(int(inputs.options["attacked"])), right),
    }


def _tested(inputs: "MetricInputs") -> HeldOut:
    """At most ``images`` test images in random order, the same for every encoder."""
    images = inputs.rng().permutation(inputs.test)[: int(inputs.options["images"])]
    return HeldOut(images, inputs.labels[images], balanced=imbalance(inputs) is not None)


def _right(probe: "Probe", features: np.ndarray, tested: HeldOut) -> np.ndarray:
    right: np.ndarray = first_best(np.asarray(probe.logits(features))) == tested.truth
    return right


def _corrupted(
    inputs: "MetricInputs", probe: "Probe", tested: HeldOut, right: np.ndarray
) -> dict[str, Estimate]:
    """The mean over the corruptions, its difference to plain images, and each of them."""
    severity = int(inputs.options["severity"])
    names = listed(str(inputs.options["corruptions"]))
    alterations = [corruption(name, severity, inputs.seed) for name in names]
    changes = pixel_changes(inputs.altered, alterations, tested.images)
    rows: dict[str, Estimate] = {}
    correct: dict[str, np.ndarray] = {}
    for name, alteration, change in zip(names, alterations, changes, strict=True):
        if change.nothing:
            rows[name] = Estimate(
                value=None, reason=change.reason, verdict="not-applicable", label=_label(name), minor=True
            )
        else:
            features = inputs.altered.embedded(alteration, tested.images)
            correct[name] = _right(probe, features, tested)
            rows[name] = _one(inputs, name, severity, tested, right, correct[name])
    if not correct:
        return {"": Estimate.not_applicable("no corruption changes these images"), **rows}
    together = np.mean(list(correct.values()), axis=0)
    return {
        "": _mean(inputs, tested, right, together, {name: rows[name] for name in correct}),
        "change": _change(inputs, tested, right, together),
        **rows,
    }


def _label(name: str) -> str:
    return f"probe under {name}"


def _one(
    inputs: "MetricInputs", name: str, severity: int, tested: HeldOut, right: np.ndarray, correct: np.ndarray
) -> Estimate:
    """One corruption."""
    value, interval = tested.accuracy(correct)
    change = _change(inputs, tested, right, correct)
    details: dict[str, Detail] = {"change": change.value}
    if change.interval:
        details |= {"change_low": change.interval.low, "change_high": change.interval.high}
    about = CORRUPTIONS[name].about.format(f"{CORRUPTIONS[name].parameters[severity - 1]:g}")
    return Estimate(
        value=value,
        interval=interval,
        label=_label(name),
        minor=True,
        note=f"{name}, severity {severity}: {about}.",
        details=details,
    )


def _change(inputs: "MetricInputs", tested: HeldOut, right: np.ndarray, correct: np.ndarray) -> Estimate:
    """Accuracy on corrupted images minus that on the same images as they are, paired."""
    value, interval = tested.mean(correct - right.astype(np.float64), inputs.rng())
    return Estimate(
        value=value,
        interval=interval,
        no_interval="" if interval else "no two images can be resampled",
        label="corrupted minus plain",
        minor=True,
        note="Accuracy on corrupted test images minus that on the same images as they are, paired.",
    )


def _mean(
    inputs: "MetricInputs",
    tested: HeldOut,
    right: np.ndarray,
    together: np.ndarray,
    rows: Mapping[str, Estimate],
) -> Estimate:
    """Mean accuracy over the corruptions; ``together`` (m,) is the share in which an image is right."""
    value, interval = tested.mean(together, inputs.rng())
    if interval and interval.low == interval.high and value in (0, 1):
        interval = tested.accuracy(together)[1]  # of equal values the bootstrap knows nothing
    plain, plain_interval = tested.accuracy(right)
    values = {name: row.value or 0.0 for name, row in rows.items()}
    worst = min(values, key=lambda name: values[name])
    severity = inputs.options["severity"]
    limits = [plain_interval, *(row.interval for row in rows.values() if row.interval)]
    return Estimate(
        value=value,
        interval=interval,
        no_interval="" if interval else "no two images can be resampled",
        note=f"{'Balanced accuracy' if tested.balanced else 'Accuracy'} of the linear probe, fitted on plain "
        f"images, on {len(right):,} test images; mean over {', '.join(rows)} at severity {severity} of 5.",
        details={
            "reading": f"worst: {worst}",
            "plain": plain,
            "change": value - plain,
            "tested": len(right),
            "balanced": tested.balanced,
            **values,
        },
        figures=(
            Bars(
                title="accuracy of the linear probe on corrupted images",
                labels=["plain", *values],
                values=[plain, *values.values()],
                value_label="accuracy",
                low=[limit.low for limit in limits],
                high=[limit.high for limit in limits],
                note="How much shorter a bar is than that of plain images is what the corruption costs.",
            ),
        ),
    )


def _attack(inputs: "MetricInputs", probe: "Probe", tested: HeldOut, right: np.ndarray) -> Estimate:
    """Accuracy under projected gradient steps from a random start."""
    eps, steps = float(inputs.options["eps"]), int(inputs.options["steps"])
    survives = right[: len(tested.images)].copy()
    if not inputs.encoder.differentiable:
        return _no_attack("no gradient flows through this encoder")
    attacked = np.flatnonzero(survives)  # what is wrong already needs no attack
    try:
        if eps > 0 and len(attacked):
            survives[attacked] = ~_fooled(inputs, probe, tested.images[attacked], tested.truth[attacked])
    except ValueError as error:
        return _no_attack(str(error).rstrip("."))
    value, interval = tested.accuracy(survives)
    plain = tested.accuracy(right[: len(survives)])[0]
    return Estimate(
        value=value,
        interval=interval,
        claim="upper-bound",
        bias="over",
        label="probe under attack",
        note="Accuracy under the attacks tried: an empirical upper bound on robust accuracy. "
        f"Projected gradient ascent of the margin, {steps} steps from one random start, each pixel of "
        f"[0, 1] within {eps:.4g}; {len(survives):,} test images, {plain:.1%} of them right as they are.",
        details={
            "reading": f"eps {255 * eps:.3g}/255",
            "eps": eps,
            "steps": steps,
            "step": PACE * eps / steps,
            "plain": plain,
            "tested": len(survives),
        },
    )


def _no_attack(reason: str) -> Estimate:
    return Estimate(value=None, reason=reason, verdict="not-applicable", label="probe under attack")


def _fooled(inputs: "MetricInputs", probe: "Probe", images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """For which of these images (m,) the attack finds one that the probe gets wrong."""
    encoder, device = inputs.encoder, inputs.device
    eps, steps = float(inputs.options["eps"]), int(inputs.options["steps"])
    weights, bias = (torch.as_tensor(part).float().to(device) for part in (probe.weights, probe.bias))

    def logits(pixels: Tensor) -> Tensor:
        features = encoder.embed(encoder.preprocess.normalise(255 * pixels))
        return features.float() @ weights.T + bias

    plain = torch.from_numpy(inputs.altered.pixels(IDENTITY, images))
    labels, digests = torch.from_numpy(truth), inputs.altered.digests(images)
    shape = tuple(plain.shape[1:])
    size = max(1, _NUMBERS // plain[0].numel())
    fooled = []
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        for start in range(0, len(plain), size):
            some = slice(start, start + size)
            starts = random_starts(f"pgd@{ATTACK}/{inputs.seed}", digests[some], shape, eps, device)
            _, margin = pgd(
                logits,
                plain[some].to(device).float() / 255,
                labels[some].to(device),
                eps=eps,
                steps=steps,
                starts=starts,
            )
            fooled.append((margin > 0).cpu().numpy())
    return np.concatenate(fooled)

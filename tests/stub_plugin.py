"""A plugin that only tests install: small encoders, one for each way in which loading can go.

``stub:NAME`` has every option and knows its sources; ``plain:NAME`` has neither.
"""

import os
from collections.abc import Iterable

from sslaudit import EncoderScheme, Option, hookimpl
from sslaudit.errors import EncoderNotFound, UnsafeFile, WeightsMismatch
from sslaudit.refs import EncoderRef
from sslaudit.specs import Source

HUB_AT_IMPORT = f"{os.environ.get('HF_HUB_OFFLINE')} {os.environ.get('TRANSFORMERS_OFFLINE')}"

OPTIONS = (
    Option(name="allow-partial", type=bool, default=False, help="score weights that fit in part"),
    Option(name="trust-pickle", type=bool, default=False, help="open a pickle"),
    Option(name="trust-remote-code", type=bool, default=False, help="run the repository's code"),
)


@hookimpl
def sslaudit_encoders() -> Iterable[EncoderScheme]:
    yield EncoderScheme(
        scheme="stub", summary="", load=_load, untrained=_untrained, resolve=_resolve, options=OPTIONS
    )
    yield EncoderScheme(scheme="plain", summary="", load=_load)


def _resolve(ref: EncoderRef) -> Source:
    if ref.locator.startswith("gone"):
        raise EncoderNotFound(f"the hub has no repository '{ref.locator}'.")
    fetch = 1_200_000_000 if ref.locator == "big" else 0
    return Source(
        name=f"org/{ref.locator}",
        revision="0123456789abcdef",
        bytes=max(fetch, 44_700_000),
        to_fetch=fetch,
        licence="apache-2.0",
        gated=ref.locator == "big",
    )


def _untrained(ref: EncoderRef, seed: int, device: str) -> object:
    return _encoder(ref, seed=seed + 1)


def _load(ref: EncoderRef, device: str) -> object:
    given = dict(ref.options)
    if ref.locator == "partial" and given.get("allow-partial") != "yes":
        raise WeightsMismatch("the weights of 'partial' did not load: matched 2 of 3 tensors.")
    if ref.locator == "pickle" and given.get("trust-pickle") != "yes":
        raise UnsafeFile("opening 'pickle' would run code.")
    return _encoder(ref, seed=0)


def _encoder(ref: EncoderRef, seed: int) -> object:
    import torch
    from torch import nn

    from sslaudit import Encoder, LoadAudit, Preprocess
    from sslaudit.encoder import module_digest

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        body = nn.Sequential(nn.Flatten(), nn.Linear(192, 16))
        head = nn.Linear(16, 4)
    if ref.locator != "fixed":
        body.insert(0, nn.AdaptiveAvgPool2d(8))
    missing = ("layer3.1.bn2.weight",) if ref.locator == "partial" else ()
    return Encoder(
        ref=str(ref),
        name="Stub-8",
        embed=body.eval(),
        dim=16,
        preprocess=Preprocess(size=(8, 8), source="assumed" if ref.locator == "assumed" else "stub"),
        digest=module_digest(body, "stub"),
        parameters=3088,
        project=head.eval() if ref.locator == "projector" else None,
        facts={"stem": "none", "hub at import": HUB_AT_IMPORT, "licence": "apache-2.0"},
        load=LoadAudit(
            matched=3 - len(missing),
            expected=3,
            file="PyTorch checkpoint, 44.7 MB",
            branch="teacher",
            others=("student (key=student)",),
            prefix="module.backbone.",
            renamed=("'norm' is written 'bn'",),
            missing=missing,
            ignored=("head (4 tensors)", "optimizer state"),
            assumptions=("the stem is that of small images",),
        ),
        module=body,
    )

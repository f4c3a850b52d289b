"""Checkpoints of sslaudit's own trainers: their header says everything."""

from collections.abc import Mapping
from typing import Any

import torch

from sslaudit.errors import UnreadableFile
from sslaudit.refs import EncoderRef
from sslaudit.train.backbones import build_backbone
from sslaudit.train.checkpoint import Header, read_checkpoint, training_of
from sslaudit_checkpoints import refusal
from sslaudit_checkpoints.architectures.base import Architecture, Reading
from sslaudit_checkpoints.fits import Fit
from sslaudit_checkpoints.match import match


def fit(ref: EncoderRef, content: Mapping[str, Any]) -> tuple[Fit, dict[str, str]]:
    """The backbone, and what the header tells of its training.

    Raises ``UnreadableFile`` for a bad header and ``WeightsMismatch``.
    """
    try:
        header, backbone, _ = read_checkpoint(content)
    except UnreadableFile as error:
        raise UnreadableFile(f"'{ref.locator}': {error}") from None
    architecture = Architecture(
        name=header.backbone,
        build=lambda: build_backbone(header.backbone, size=header.size),
        preprocess=header.preprocessing(),
    )
    with torch.device("meta"):
        skeleton = architecture.build()
    found = match(backbone, skeleton.state_dict())
    if not found.complete:
        asked = dict(ref.options).get("allow-partial") in ("yes", "true")
        hint = "sslaudit writes checkpoints whole: --allow-partial does not apply to them." if asked else ""
        raise refusal.mismatch(ref.locator, f"{header.backbone}, which the header names", found, hint=hint)
    return Fit(
        prefix="backbone.",
        origin="",
        branch="",
        reading=Reading(architecture=architecture, state=backbone),
        skeleton=skeleton,
        match=found,
    ), _facts(header, unfinished=training_of(content) is not None)


def encoder_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The file without what an unfinished run goes on from: copies of its tensors among it."""
    return {part: stored for part, stored in content.items() if part != "training"}


def _facts(header: Header, *, unfinished: bool) -> dict[str, str]:
    return {
        "method": header.method,
        "recipe": header.recipe,
        "views": header.views,
        "epoch": f"{header.epoch} of {header.epochs}{', unfinished' if unfinished else ''}",
        "trained on": f"{header.data}, {header.images} images",
        "training data digest": header.data_digest,
        "training seed": str(header.seed),
        "learning rate": f"{header.lr:g}",
    }

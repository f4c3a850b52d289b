"""Backbones that are recognised from the names and shapes of their tensors.

One module for each family. To add a family, write its ``DIALECTS`` (see ``base``) and list them
here. timm is imported where a network is built, since most files need none of it.
"""

from sslaudit_checkpoints.architectures import (
    convnext,
    efficientnet,
    mobilenet,
    resnet_names,
    rotnet,
    squeezenet,
    swin,
    vit,
)
from sslaudit_checkpoints.architectures.base import Dialect

DIALECTS: tuple[Dialect, ...] = (
    *resnet_names.DIALECTS,
    *vit.DIALECTS,
    *convnext.DIALECTS,
    *swin.DIALECTS,
    *efficientnet.DIALECTS,
    *mobilenet.DIALECTS,
    *squeezenet.DIALECTS,
    *rotnet.DIALECTS,
)
"""Every dialect that is tried on a file."""

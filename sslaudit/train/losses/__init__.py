"""The losses, one for each module, as pure functions of tensors.

Those of two views take two batches of projections (N, D), ``info_nce`` a batch of negatives too.
``adversarial`` takes the logits of a discriminator. ``pretext_loss`` takes features of the downstream
and of the pretext samples with their targets.
"""

from sslaudit.train.losses.adversarial import adversarial
from sslaudit.train.losses.barlow_twins import barlow_twins
from sslaudit.train.losses.info_nce import info_nce
from sslaudit.train.losses.negative_cosine import negative_cosine
from sslaudit.train.losses.nt_xent import nt_xent
from sslaudit.train.losses.pretext import pretext_loss
from sslaudit.train.losses.vicreg import vicreg

__all__ = [
    "adversarial",
    "barlow_twins",
    "info_nce",
    "negative_cosine",
    "nt_xent",
    "pretext_loss",
    "vicreg",
]

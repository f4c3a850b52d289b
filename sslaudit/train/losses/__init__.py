"""The losses, one for each module, as pure functions of tensors.

Those of two views take two batches of projections (N, D). ``pretext_loss`` takes features of the
downstream and of the pretext samples with their targets.
"""

from sslaudit.train.losses.barlow_twins import barlow_twins
from sslaudit.train.losses.nt_xent import nt_xent
from sslaudit.train.losses.pretext import pretext_loss

__all__ = ["barlow_twins", "nt_xent", "pretext_loss"]

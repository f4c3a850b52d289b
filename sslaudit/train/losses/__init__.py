"""The losses, one for each module, as pure functions of two batches of projections (N, D)."""

from sslaudit.train.losses.barlow_twins import barlow_twins
from sslaudit.train.losses.nt_xent import nt_xent

__all__ = ["barlow_twins", "nt_xent"]

"""Training methods: each a backbone, its heads, and a loss over views."""

from sslaudit.train.methods.base import Method
from sslaudit.train.methods.two_projections import barlow_twins, simclr

__all__ = ["Method", "barlow_twins", "simclr"]

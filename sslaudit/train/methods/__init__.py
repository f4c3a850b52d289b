"""Training methods: each a backbone, its heads, and a loss over views."""

from sslaudit.train.methods.base import Method
from sslaudit.train.methods.bigan import bigan
from sslaudit.train.methods.byol import byol
from sslaudit.train.methods.moco import moco
from sslaudit.train.methods.rotation import rotation
from sslaudit.train.methods.simsiam import simsiam
from sslaudit.train.methods.two_projections import barlow_twins, simclr
from sslaudit.train.methods.vicreg import vicreg

__all__ = ["Method", "barlow_twins", "bigan", "byol", "moco", "rotation", "simclr", "simsiam", "vicreg"]

"""BiGAN: an encoder that inverts a generator, because a discriminator sees both with their images."""

import torch
from torch import Tensor, distributed, nn
from torch.func import functional_call
from torch.nn.functional import interpolate

from sslaudit.train.generator import LARGEST, Discriminator, Generator
from sslaudit.train.losses.adversarial import adversarial
from sslaudit.train.methods.base import Method, check_option

PENALTY = 0.5
"""Weight gamma of the discriminator's squared gradient at pairs that it should call encoded."""


class BiGAN(Method):
    """The encoder is backbone and projector; generator and discriminator are small nets beside it.

    All three take each step together, as in the paper. Views above 32 pixels are seen by the
    discriminator, and made by the generator, at 32 pixels; by the encoder as they are.
    """

    n_views = 1

    def __init__(self, backbone: nn.Module, projector: nn.Module, *, latent: int, width: int) -> None:
        super().__init__(backbone, projector)
        self.latent = latent
        self.generator = Generator(latent, width)
        self.discriminator = Discriminator(latent, width)

    def loss(self, *views: Tensor) -> Tensor:
        """The discriminator's loss, and that of encoder and generator: about 4 log 2 when nobody is ahead.

        Each part has the gradient of its own loss alone. Latents are uniform in [-1, 1], from torch's
        global generator. Source: Donahue et al., ICLR 2017, Eq. 3 and Sec. 3.4.
        """
        (images,) = views
        z = self._latents(images)
        encoded = _at_most(LARGEST, images), self.projector(self.backbone(images))
        generated = self.generator(z, encoded[0].shape[-1]), z
        with torch.autocast(images.device.type, enabled=False):
            return self._played(*([part.to(z.dtype) for part in pair] for pair in (encoded, generated)))

    def _played(self, encoded: list[Tensor], generated: list[Tensor]) -> Tensor:
        """The loss of both sides for pairs of images (B, 3, S, S) and latents (B, L).

        A penalty on its gradient keeps the discriminator from being sure of what a few images are, which
        the others could not learn from. Source: Mescheder et al., ICML 2018, Eq. 9 (R1).
        """
        seen = [part.detach().requires_grad_() for part in encoded]
        told = self.discriminator(*seen), self.discriminator(*(part.detach() for part in generated))
        slopes = torch.autograd.grad(told[0].sum(), seen, create_graph=True)
        penalty = sum(slope.flatten(1).square().sum(dim=1).mean() for slope in slopes)
        held = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        fooled = (functional_call(self.discriminator, held, tuple(pair)) for pair in (generated, encoded))
        return adversarial(*told) + PENALTY / 2 * penalty + adversarial(*fooled)

    def _latents(self, images: Tensor) -> Tensor:
        """(B, L): of several processes each takes its share of the joined batch's."""
        count, rank = 1, 0
        if distributed.is_available() and distributed.is_initialized():
            count, rank = distributed.get_world_size(), distributed.get_rank()
        shape = (count * len(images), self.latent)
        z = torch.rand(shape, device=images.device, dtype=next(self.parameters()).dtype) * 2 - 1
        return z.chunk(count)[rank]


def bigan(backbone: nn.Module, dim: int, *, latent: int = 16, width: int = 64) -> Method:
    """BiGAN with a small generator. Raises ``UsageError``. Source: Donahue et al., ICLR 2017, Sec. 3."""
    check_option(latent >= 1, "bigan", "latent", latent, "be at least 1")
    check_option(width >= 1, "bigan", "width", width, "be at least 1")
    return BiGAN(backbone, nn.Linear(dim, latent), latent=latent, width=width)


def _at_most(side: int, images: Tensor) -> Tensor:
    if images.shape[-1] <= side:
        return images
    return interpolate(images, size=(side, side), mode="bilinear", antialias=True)

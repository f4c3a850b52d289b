"""The adversarial loss of BiGAN: which of two kinds of pairs (image, latent) a discriminator sees."""

from torch import Tensor
from torch.nn.functional import logsigmoid

from sslaudit.train.losses.precision import in_float32


@in_float32
def adversarial(encoded: Tensor, generated: Tensor) -> Tensor:
    """-E log D(x, E(x)) - E log(1 - D(G(z), z)) from the logits of D, each (N,) or (N, 1).

    The discriminator's loss: minus the value V of the game, 2 log 2 when it cannot tell. With the two
    arguments swapped it is the loss of encoder and generator: as in the paper's experiments they learn
    from swapped labels, whose gradient does not vanish when D is right. Computed in float32 at least,
    also under autocast.

    Source: Donahue et al., ICLR 2017, Eq. 3.
    """
    return -logsigmoid(encoded).mean() - logsigmoid(-generated).mean()

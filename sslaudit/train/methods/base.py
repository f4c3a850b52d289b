"""What the loop trains: a backbone, a projector, and a loss over views."""

from typing import ClassVar

from torch import Tensor, nn

from sslaudit.errors import UsageError


class Method(nn.Module):
    """What the loop trains. A method of yours subclasses this and defines ``loss``.

    All that a run must find again when it is resumed is a parameter or a buffer: momentum targets and
    queues too.
    """

    n_views: ClassVar[int] = 2
    """Views of each image that a step draws."""

    def __init__(self, backbone: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        """Images (B, 3, H, W) to embeddings h (B, D): what is evaluated."""
        self.projector = projector
        """Embeddings to projections z (B, P): what only the loss sees."""

    def loss(self, *views: Tensor) -> Tensor:
        """The scalar loss of one step; row i of each of the ``n_views`` batches (B, 3, H, W) is a view
        of image i. With several processes B is the share of this one: what compares images with each
        other gathers (``sslaudit.train.gather``)."""
        raise NotImplementedError

    def after_step(self, done: float) -> None:
        """Called after each step of the optimiser, when the share ``done`` in (0, 1] of all steps is
        done: where momentum targets follow."""

    def forward(self, *views: Tensor) -> Tensor:
        """``loss``, under the name that data-parallel wrappers call."""
        return self.loss(*views)


def check_option(fits: bool, method: str, option: str, value: object, rule: str) -> None:
    """Raises ``UsageError`` with the rule that ``value`` breaks, unless it ``fits``."""
    if not fits:
        raise UsageError(f"{method}: option {option}={value} must {rule}.")

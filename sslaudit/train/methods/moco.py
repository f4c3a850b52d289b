"""MoCo v2: contrast queries with a queue of keys that a slow copy of the network made."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sslaudit.train.gather import gather
from sslaudit.train.heads import simclr_projector
from sslaudit.train.losses import info_nce
from sslaudit.train.losses.unit import unit_rows
from sslaudit.train.methods.base import Method, check_option
from sslaudit.train.methods.momentum import follow, target_of


class MoCo(Method):
    """Queries from one view, keys from the other by the target network, negatives from the queue.

    After each step of the optimiser the target follows and the step's keys, of all processes, enter
    the queue in place of the oldest, as in Algorithm 1. Two things differ from released code:

    - The queue starts empty, not with random vectors: only keys that entered are negatives. So the
      first step has none, its loss is 0, and the loss rises while the queue fills.
    - With ``symmetric`` the loss is the mean of both ways round, not their sum.

    Keys carry no image numbers. A queue longer than the training set holds older views of the query's
    own image, about one in N of its negatives for N images; choose a queue below N.
    """

    queue: Tensor
    entered: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        projector: nn.Module,
        *,
        out: int,
        temperature: float,
        momentum: float,
        queue: int,
        symmetric: bool,
        splits: int,
    ) -> None:
        super().__init__(backbone, projector)
        for module in backbone.modules():
            if splits > 1 and isinstance(module, _BatchNorm) and module.momentum is not None:
                module.momentum /= splits  # the parts of a batch together move running statistics once
        self.target = target_of(backbone, projector)
        self.temperature, self.momentum = temperature, momentum
        self.symmetric, self.splits = symmetric, splits
        self.register_buffer("queue", torch.zeros(queue, out))  # K x P, rows of unit length
        self.register_buffer("entered", torch.zeros((), dtype=torch.long))  # keys since the start
        self._keys: list[Tensor] = []  # of this step, until it is done

    def loss(self, *views: Tensor) -> Tensor:
        """InfoNCE of the queries, each against its key and the queue. The queue is left as it is.

        Source: He et al., CVPR 2020, Eq. 1 and Algorithm 1.
        """
        self._keys = []
        losses = []
        counted = torch.arange(len(self.queue), device=self.queue.device) < self.entered
        for seen, other in (views, views[::-1]) if self.symmetric else (views,):
            queries = self._in_parts(nn.Sequential(self.backbone, self.projector), seen)
            keys = self._keys_of(other)
            losses.append(info_nce(queries, keys, self.queue, temperature=self.temperature, counted=counted))
            self._keys.append(keys)
        return torch.stack(losses).mean()

    @torch.no_grad()
    def after_step(self, done: float) -> None:
        """The target follows; the keys of the step enter the queue, the oldest leave."""
        follow(self.target, self.backbone, self.projector, momentum=self.momentum)
        keys = unit_rows(torch.cat([gather(keys) for keys in self._keys]).to(self.queue.dtype))
        self._keys = []
        size = len(self.queue)
        places = (self.entered + torch.arange(len(keys), device=keys.device)) % size
        self.queue[places[-size:]] = keys[-size:]  # of more keys than places the last ones stay
        self.entered += len(keys)

    @torch.no_grad()
    def _keys_of(self, images: Tensor) -> Tensor:
        """(B, P). Shuffled for batch norm alone, so that it sees a key beside other images than it
        saw the query beside. Source: He et al., CVPR 2020, Sec. 3.3."""
        if self.splits == 1:
            return self._in_parts(self.target, images)
        order = torch.randperm(len(images), device="cpu").to(images.device)
        keys = self._in_parts(self.target, images[order])
        return keys[order.argsort()]

    def _in_parts(self, net: nn.Module, images: Tensor) -> Tensor:
        """``net`` of each of the ``splits`` parts, or fewer, so that none is a single image."""
        parts = max(1, min(self.splits, len(images) // 2))
        return torch.cat([net(part) for part in images.tensor_split(parts)])


def moco(
    backbone: nn.Module,
    dim: int,
    *,
    temperature: float = 0.2,
    momentum: float = 0.999,
    queue: int = 4096,
    symmetric: bool = False,
    splits: int = 1,
    hidden: int | None = None,
    out: int = 128,
) -> Method:
    """MoCo v2. Raises ``UsageError``.

    ``splits`` parts of a batch, at least 2 images each, pass the networks one at a time, so that batch
    norm sees one part at a time, as on as many devices; keys are shuffled over the parts, which draws
    from torch's global generator. With several processes choose 2 or more: with 1 batch norm sees a
    query's and its key's image beside the same others.

    Source: He et al., CVPR 2020; Chen et al., 2020 (v2) for the head and the temperature.
    """
    check_option(temperature > 0, "moco", "temperature", temperature, "be above 0")
    check_option(0 <= momentum <= 1, "moco", "momentum", momentum, "lie between 0 and 1")
    check_option(queue >= 1, "moco", "queue", queue, "be at least 1")
    check_option(splits >= 1, "moco", "splits", splits, "be at least 1")
    projector = simclr_projector(dim, hidden=hidden, out=out)
    return MoCo(
        backbone,
        projector,
        out=out,
        temperature=temperature,
        momentum=momentum,
        queue=queue,
        symmetric=symmetric,
        splits=splits,
    )

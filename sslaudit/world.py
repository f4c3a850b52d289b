"""The processes that ``torchrun`` started, and what each of them takes."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class World:
    """``size`` equal processes of one run, of which this one is ``rank``."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among the processes of this machine."""

    @classmethod
    def from_environment(cls) -> "World":
        """What ``torchrun`` says in ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK``; alone without it."""
        if not {"TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys():
            return ALONE
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        return cls(rank, size, int(os.environ["LOCAL_RANK"]))

    def takes(self, part: int) -> bool:
        """Whether this process extracts part number ``part``: never by its place among the missing."""
        return part % self.size == self.rank

    def device(self, name: str) -> str:
        """``cuda`` as the GPU of this process."""
        return f"cuda:{self.local_rank}" if self.size > 1 and name == "cuda" else name


ALONE = World()

"""What is known of one SSL project: the layout of its files and what its own evaluation takes."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """One project, or one of the layouts it writes."""

    name: str
    """Short key: ``mocov3``."""
    title: str
    method: str
    """As in the schemes: ``moco``; empty when the layout serves several methods."""
    source: str
    """Owner, repository and the file that writes or reads the layout."""
    signs: tuple[str, ...]
    """Regular expressions; each must be found in the paths, one a line in the order of the file."""
    never: tuple[str, ...] = ()
    """Regular expressions; none may be found."""
    branch: str = ""
    """Regular expression of the address that the project evaluates; empty when there is one backbone."""
    convention: str
    """Key of ``conventions.CONVENTIONS``."""
    cifar_convention: str = ""
    """The same for a file with the CIFAR stem, when the project distinguishes."""
    note: str = ""
    """What a reader must know about weights from here."""
    refusal: str = ""
    """Why no network of this layout can be rebuilt from its tensors, and what to do instead."""

    def match(self, paths: str) -> bool:
        """Whether all signs are met in ``paths``, one path a line."""
        return all(re.search(sign, paths, re.M) for sign in self.signs) and not any(
            re.search(sign, paths, re.M) for sign in self.never
        )

"""Flaws of single annotations: each is named with its file, its row and the reason, and stops nothing but itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fomaug.errors import LabelError


@dataclass(frozen=True)
class Flaw:
    """An annotation that cannot be used.

    Attributes:
        where: its file, and its row or number there.
        picture: path of its picture below the dataset folder, with slashes; empty where that is unknown.
        reason: sentence about what is wrong.
    """

    where: str
    picture: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.described}"

    @property
    def described(self) -> str:
        """The reason, with the picture where it is known."""
        return f"{self.reason} (picture {self.picture})" if self.picture else self.reason


OnFlaw = Callable[[Flaw], object]


def refuse(flaw: Flaw) -> None:
    """Raise `LabelError`: the policy of readers that are told nothing else."""
    raise LabelError(str(flaw))


@dataclass
class Place:
    """Where an annotation stands, and its picture as soon as that is known."""

    where: str
    picture: str = ""


@contextmanager
def flaws_of(where: str, on_flaw: OnFlaw, picture: str = "") -> Iterator[Place]:
    """Report whatever is wrong with one annotation, and go on behind the block.

    Args:
        where: file and row of the annotation.
        on_flaw: function that is called with the flaw; it may raise.
        picture: path of its picture, see `Flaw`; the block may set it later.
    """
    place = Place(where, picture)
    try:
        yield place
    except (LabelError, KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        on_flaw(Flaw(place.where, place.picture, _reason(error)))


def _reason(error: Exception) -> str:
    if isinstance(error, LabelError):
        return str(error)
    return f"{error} is missing" if isinstance(error, KeyError) else f"{type(error).__name__} {error}"

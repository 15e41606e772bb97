"""Remember what is derived from a pool, by the pool's content."""

from __future__ import annotations

from fomaug.driving import DrivingPool


class ByHash:
    """A pool as a cache key: equal to every pool of the same content."""

    def __init__(self, pool: DrivingPool) -> None:
        self.pool = pool

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByHash) and other.pool.hash == self.pool.hash

    def __hash__(self) -> int:
        return hash(self.pool.hash)

"""Shares of a job: the groups of each process of a cluster, by its number among all processes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from fomaug.errors import ArgumentError


@dataclass(frozen=True)
class Share:
    """One of several equal shares of a job.

    Attributes:
        number: number of the share, from 0.
        count: number of shares.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def groups(self, num_groups: int) -> range:
        """Return the numbers of the share's groups: every `count`-th group, so that shares are similar in any order."""
        return range(self.number, num_groups, self.count)


def parse_share(text: str, environ: Mapping[str, str] | None = None) -> Share:
    """Parse the option `shard`: I/N, or auto for the numbers in a cluster's environment variables.

    `auto` reads RANK and WORLD_SIZE, as torchrun sets them, and SLURM_ARRAY_TASK_ID with _COUNT, _MIN and _STEP. Where
    both are set, each task of the array is divided among its ranks.

    Args:
        text: value of the option.
        environ: environment variables; None for those of this process.

    Raises:
        ArgumentError: the text has another form, or the cluster gives no numbers.

    >>> parse_share("3/16")
    Share(number=3, count=16)
    >>> parse_share("auto", {"SLURM_ARRAY_TASK_ID": "6", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "8"})
    Share(number=5, count=8)
    """
    if text == "auto":
        return _find_share(os.environ if environ is None else environ)
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None:
        raise ArgumentError(f"shard must be I/N, such as 0/16, or auto, got {text!r}")
    return _checked(Share(int(match[1]), int(match[2])), f"shard {text}")


def _find_share(environ: Mapping[str, str]) -> Share:
    shares = [share for share in (_array_share(environ), _rank_share(environ)) if share is not None]
    if not shares:
        raise ArgumentError(
            "shard auto needs RANK and WORLD_SIZE, or SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT, and none is set; "
            "give I/N instead"
        )
    number, count = 0, 1
    for share in shares:
        number, count = number * share.count + share.number, count * share.count
    return Share(number, count)


def _rank_share(environ: Mapping[str, str]) -> Share | None:
    if "RANK" not in environ or "WORLD_SIZE" not in environ:
        return None
    share = Share(_number(environ, "RANK"), _number(environ, "WORLD_SIZE"))
    return _checked(share, f"RANK {share.number} with WORLD_SIZE {share.count}")


def _array_share(environ: Mapping[str, str]) -> Share | None:
    if "SLURM_ARRAY_TASK_ID" not in environ or "SLURM_ARRAY_TASK_COUNT" not in environ:
        return None
    task, count = _number(environ, "SLURM_ARRAY_TASK_ID"), _number(environ, "SLURM_ARRAY_TASK_COUNT")
    first = _number(environ, "SLURM_ARRAY_TASK_MIN") if "SLURM_ARRAY_TASK_MIN" in environ else 0
    step = _number(environ, "SLURM_ARRAY_TASK_STEP") if "SLURM_ARRAY_TASK_STEP" in environ else 1
    number, rest = divmod(task - first, max(1, step))
    if rest:
        raise ArgumentError(f"task {task} of an array from {first} in steps of {step} has no number; give I/N instead")
    return _checked(Share(number, count), f"task {task} of an array of {count} tasks from {first} on")


def _number(environ: Mapping[str, str], name: str) -> int:
    if not re.fullmatch(r"\d{1,9}", environ[name]):
        raise ArgumentError(f"{name} must be a number, got {environ[name]!r}; give shard as I/N instead")
    return int(environ[name])


def _checked(share: Share, name: str) -> Share:
    if not 0 <= share.number < share.count:
        raise ArgumentError(f"{name} is none: shares are numbered from 0 to N - 1; give I/N with I below N")
    return share

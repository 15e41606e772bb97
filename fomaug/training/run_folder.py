"""The folder of a training run: losses as JSON lines, pictures, TensorBoard files and checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from fomaug.errors import MissingExtraError, ResumeError
from fomaug.files import MANIFEST, read_text, replacing, write_file
from fomaug.training.model import Batch
from fomaug.weights import read_pickle


class Report:
    """A writer of `losses.jsonl`, and of `pictures/` with source, driving and prediction for a few steps."""

    def __init__(self, run: Path, board: Any) -> None:
        self.run, self.board = run, board

    @classmethod
    def open(cls, run: Path, *, from_step: int, tensorboard: bool) -> Report:
        """Start or continue a report; lines after `from_step`, which a killed run has left, are removed."""
        path = run / "losses.jsonl"
        if path.exists():
            lines = read_text(path, MANIFEST).splitlines(keepends=True)
            kept = [line for line in lines if _step(line) in range(from_step + 1)]
            write_file(path, "".join(kept).encode())
        return cls(run, _board(run) if tensorboard else None)

    def write(self, step: int, losses: dict[str, float], batch: Batch, prediction: Tensor) -> None:
        """Write the losses of a step, and a picture at steps 1, 10, 100 and every 1000."""
        with (self.run / "losses.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, **losses}) + "\n")
        if self.board is not None:
            for name, value in losses.items():
                self.board.add_scalar(name, value, step)
        if step in (1, 10, 100) or step % 1000 == 0:
            self._picture(step, batch, prediction)

    def close(self) -> None:
        """Flush and close the TensorBoard files."""
        if self.board is not None:
            self.board.close()

    def _picture(self, step: int, batch: Batch, prediction: Tensor) -> None:
        rows = [part[:8].detach().float().cpu() for part in (batch.source, batch.driving, prediction)]
        sheet = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)  # (3, 3 S, 8 S)
        folder = self.run / "pictures"
        folder.mkdir(exist_ok=True)
        pixels = (sheet.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"step-{step:08d}.png")


def _step(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1  # the line is incomplete, because the process was killed


def _board(run: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("tensorboard", "tensorboard") from error
    return SummaryWriter(str(run))


_PATTERN = "step-*.pt"


def save_checkpoint(run: Path, step: int, content: Mapping[str, Any], *, keep: int) -> Path:
    """Write a checkpoint, whole or not at all, then delete all but the newest `keep`."""
    target = run / f"step-{step:08d}.pt"
    with replacing(target) as temporary:
        torch.save(dict(content), temporary)
    for old in sorted(run.glob(_PATTERN))[:-keep]:
        old.unlink()
    return target


def last_checkpoint(run: Path) -> dict[str, Any] | None:
    """Read the newest checkpoint of a run; None if there is none.

    Raises:
        ResumeError: if the file is no checkpoint.
        WeightsError: if the file is damaged.
    """
    found = sorted(run.glob(_PATTERN))
    if not found:
        return None
    content = read_pickle(found[-1])
    if not isinstance(content, dict) or "step" not in content:
        raise ResumeError(f"{found[-1]} is no checkpoint of a training run; delete it, or train into another folder")
    return content

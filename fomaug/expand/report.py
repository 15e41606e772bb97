"""The outcome of an expansion: progress, a report with the time of its stages, and the summary in its output folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from fomaug import files
from fomaug.errors import ArgumentError, LabelError, ResumeError, UnsafeFileError, reason_of
from fomaug.expand.gates import read_gates
from fomaug.expand.output import SUMMARY
from fomaug.expand.plan import ExpandPlan
from fomaug.files import read_regular, write_file
from fomaug.labels import find_format
from fomaug.untrusted import load_json

OnMade = Callable[[int, int], None]

STAGES: Final = {
    "tasks": ("waiting for tasks", "fewer processes, which are as fast, or smaller --samples-per-shard"),
    "reading": ("waiting for sources that are read and decoded", "more --workers, a faster disk or smaller pictures"),
    "faces": ("finding faces and fitting annotations", "--faces frame, or boxes from annotations"),
    "model": ("drawing and animating", "more --processes, a GPU, or --dtype float16 on one"),
    "gates": ("judging copies", "--gates off"),
    "writing": ("waiting for copies that are encoded and written", "more --workers, or JPEG instead of PNG"),
    "recording": ("flushing files and rows to the disk", "archives instead of folders, or a faster disk"),
}
"""The work of each stage, and remedies for a long stage."""


@dataclass(frozen=True)
class Failure:
    """A source, clip or annotation that could not be used.

    Attributes:
        source: key of the source, name of the clip, or file and row of the annotation.
        reason: reason of the failure.
    """

    source: str
    reason: str


@dataclass(frozen=True)
class ExpandReport:
    """The outcome of an expansion.

    Attributes:
        out: output folder; for storage, see `url`.
        sources: number of sources.
        planned: number of planned copies.
        written: number of copies in the output folder.
        new: number of copies that this call made.
        rejected: number of copies whose draws all failed the gates.
        failed: sources that could not be used.
        skipped_clips: driving clips that could not be used.
        flawed: annotations that could not be used.
        expanded: folders of the dataset that were left out because `expand` wrote them.
        unannotated: number of sources without annotations; 0 if no annotations were given.
        labels: number of copies by label; the label "" stands for none. Empty in a dry run with labels of clips.
        originals: number of originals in the output folder.
        contact_sheet: path of an image of some sources and their copies; None in a dry run, or without copies.
        estimated_bytes: expected size of the output in a dry run.
        shard: share that this call made, as I/N; the counts are then those of the share. Empty for a whole job.
        url: URL of the output on remote storage; empty for a folder.
        profile: time that all workers spent in each stage, and the stage that limits the job, in lines.
    """

    out: Path
    sources: int
    planned: int
    written: int = 0
    new: int = 0
    rejected: int = 0
    failed: tuple[Failure, ...] = ()
    skipped_clips: tuple[Failure, ...] = ()
    flawed: tuple[Failure, ...] = ()
    expanded: tuple[str, ...] = ()
    unannotated: int = 0
    labels: tuple[tuple[str, int], ...] = ()
    originals: int = 0
    contact_sheet: Path | None = None
    estimated_bytes: int | None = None
    shard: str = ""
    url: str = ""
    profile: tuple[str, ...] = field(default=(), compare=False)

    @property
    def complete(self) -> bool:
        """True if every source, clip and annotation could be used."""
        return not self.failed and not self.skipped_clips and not self.flawed

    def located(self, url: str) -> ExpandReport:
        """Return the report with the URL of a job on storage in place of its temporary folder."""
        if not url:
            return self
        sheet = self.contact_sheet and Path(url, self.contact_sheet.name)
        return replace(self, out=Path(url), contact_sheet=sheet, url=url)

    def result(self) -> dict[str, Any]:
        """Return the outcome for `expand.json`; it does not depend on interruptions of the job."""
        values = asdict(self)
        for name in ("out", "new", "contact_sheet", "estimated_bytes", "shard", "url", "profile"):
            del values[name]
        return {**values, "labels": dict(self.labels), "contact_sheet": self.contact_sheet and self.contact_sheet.name}


@contextmanager
def show_progress(total: int, done: int, *, shown: bool) -> Iterator[OnMade]:
    """Show one bar for all workers, with rate, remaining time and failures."""
    with tqdm(total=total, initial=done, unit="copy", disable=not shown, dynamic_ncols=True) as bar:
        failures = 0

        def on_made(copies: int, failed: int) -> None:
            nonlocal failures
            failures += failed
            if failed:
                bar.set_postfix(failed=failures, refresh=False)
            bar.update(copies)

        yield on_made


def estimate_bytes(sizes: Sequence[int], copies: Sequence[int]) -> int:
    """Estimate the size of all copies; a copy is about as large as its source."""
    return sum(size * count for size, count in zip(sizes, copies, strict=True))


def describe_profile(seconds: Mapping[str, float]) -> list[str]:
    """Return lines about the stages of all workers, and about the stage that limits the job.

    >>> describe_profile({"model": 3.0, "reading": 1.0})[-1]
    'drawing and animating limits the speed: 75 %; remedies: more --processes, a GPU, or --dtype float16 on one'
    """
    total = sum(seconds.values())
    if not total:
        return ["no copy was made, so no stage limits the speed"]
    lines = [
        f"{seconds.get(name, 0):9.1f} s  {seconds.get(name, 0) / total:4.0%}  {STAGES[name][0]}" for name in STAGES
    ]
    longest = max(STAGES, key=lambda name: seconds.get(name, 0))
    does, remedy = STAGES[longest]
    share = f"{100 * seconds[longest] / total:.0f} %"
    return [*lines, f"{does} limits the speed: {share}; remedies: {remedy}"]


def save_summary(out: Path, summary: Mapping[str, Any]) -> None:
    """Replace the summary file."""
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    write_file(out / SUMMARY, f"{text}\n".encode("utf-8", "backslashreplace"), durable=True)


def read_summary(out: Path, url: str = "") -> dict[str, Any]:
    """Read the summary of an expanded dataset.

    Args:
        out: output folder.
        url: URL that the folder was fetched from, for error messages; empty without one.

    Raises:
        ResumeError: the folder has no summary, or a damaged one.
    """
    try:
        content = read_regular(out / SUMMARY, files.SUMMARY)
    except FileNotFoundError as cause:
        if not url and not out.exists():
            raise ResumeError(f"{out} does not exist, so it holds no {SUMMARY}") from cause
        raise ResumeError(f"{url or out} holds no {SUMMARY}, so it is not an expanded dataset") from cause
    except UnsafeFileError as cause:
        raise ResumeError(str(cause)) from cause
    except OSError as cause:
        raise ResumeError(f"{out / SUMMARY} cannot be read: {reason_of(cause)}") from cause
    try:
        summary = load_json(content, out / SUMMARY, ResumeError)
    except ResumeError as cause:
        raise ResumeError(f"{out / SUMMARY} is damaged: {cause}") from cause
    if not isinstance(summary, dict):
        raise ResumeError(f"{out / SUMMARY} is damaged: no JSON object")
    return summary


def plan_of(out: Path, summary: Mapping[str, Any], **free: Any) -> ExpandPlan:
    """Make the plan of a job again from its summary.

    Args:
        out: output folder.
        summary: content of `expand.json`.
        free: settings that may differ from those of the job's start.

    Raises:
        ArgumentError: one of `free` is wrong.
        ResumeError: the summary is that of another version, or has a wrong setting.
    """
    settings, given = summary.get("settings"), summary.get("given")
    if not isinstance(settings, dict) or not isinstance(given, dict):
        raise ResumeError(f"{out} was made by another version of fomaug; resume it with all its options and --resume")
    ranges = {name: tuple(value) for name, value in settings.items() if isinstance(value, list)}
    try:
        with saved_settings(out, free.get("out_url", "")):
            saved = ExpandPlan(**{**given, **settings, **ranges, "out": str(out)})
            read_gates(saved.gates)
            if saved.annotation_format is not None:
                find_format(Path(), saved.annotation_format)
    except TypeError as cause:
        raise ResumeError(f"the settings in {out} are not those of this version of fomaug ({cause})") from cause
    return replace(saved, **free)


@contextmanager
def saved_settings(out: Path, url: str = "") -> Iterator[None]:
    """Name the summary in errors about a setting that it holds.

    Raises:
        ResumeError: the block raised an `ArgumentError` or a `LabelError`.
    """
    try:
        yield
    except (ArgumentError, LabelError) as cause:
        raise ResumeError(f"{url or out}/{SUMMARY} is damaged: {cause}") from cause


def check_facts(out: Path, summary: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Compare the facts of a job with those of its summary.

    Raises:
        ResumeError: they differ; the message names both values.
    """
    if "draws" in facts and (begun := summary.get("draws", 1)) != facts["draws"]:
        raise ResumeError(
            f"{out} was begun with version {begun} of the draws, and this fomaug has version {facts['draws']}, which "
            "would draw other copies than planned; finish it with the fomaug that began it, or start in a new folder"
        )
    if "manifest" in facts and (layout := summary.get("manifest", 1)) != facts["manifest"]:
        raise ResumeError(
            f"{out} was begun with version {layout} of the output layout, and this fomaug writes version "
            f"{facts['manifest']}; finish it with the fomaug that began it, or start in a new folder"
        )
    changes = [
        f"{name.removeprefix('settings.')}: was {json.dumps(was)}, is {json.dumps(now)}"
        for name, was, now in _differences({name: summary.get(name) for name in facts}, facts)
    ]
    if changes:
        raise ResumeError(
            f"{out} was made with other settings; use the same settings or a new folder: {'; '.join(changes)}"
        )


def _differences(was: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*was, *now]):
        first, second = was.get(name), now.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            yield from _differences(first, second, f"{within}{name}.")
        elif first != second:
            yield f"{within}{name}", first, second

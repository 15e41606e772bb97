"""The sources of a dataset, with labels and splits, and the saved list of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, get_args

from fomaug.errors import ArgumentError, MediaError, ResumeError, UnsafeFileError, check_choice
from fomaug.expand.inputs import Listed, labelled_by_metadata, list_archives_below, list_input, named_by_folders
from fomaug.expand.output import SOURCES as SOURCES
from fomaug.expand.output import is_prepared
from fomaug.expand.plan import ExpandPlan, Split
from fomaug.expand.readers import from_json, to_json
from fomaug.expand.report import Failure, check_facts, read_summary
from fomaug.expand.sources import SourceFile
from fomaug.files import MANIFEST, exists, open_text, replacing
from fomaug.media import digest_sizes, list_pictures, read_suffixes, unread_suffixes


class Found(NamedTuple):
    """The sources of a dataset.

    Attributes:
        chosen: sources of the chosen split.
        unsplit: sources outside of the splits; empty if all splits are chosen.
        expanded: folders that were left out because `expand` wrote them.
        failed: rows of lists and members of archives that cannot be sources.
    """

    chosen: list[SourceFile]
    unsplit: list[SourceFile]
    expanded: list[str]
    failed: Sequence[Failure] = ()


def find_sources(
    dataset: str | Path, *, out: str | Path, split: str = "train", annotations: str | None = None
) -> Found:
    """List the pictures of a dataset; those of a folder are sorted by key, those of other inputs are in their order.

    In a folder, hidden files and folders are left out, as are `out`, `annotations` and expanded datasets inside the
    folder. Links to folders are not followed.

    Args:
        dataset: folder of class folders or images, or of splits; or another input, see `list_input`.
        out: output folder of the expansion.
        annotations: path of the annotations, which may be a folder of masks.
        split: split to list, or "all"; without splits, "train" lists all images, too.

    Raises:
        ArgumentError: the dataset does not exist, has no images, has none in the split, or has no splits for "val" or
            "test".
    """
    check_choice("split", split, get_args(Split))
    listed, expanded = list_input(str(dataset)), list[str]()
    if listed is None:
        listed, expanded = _list_folder(Path(dataset), Path(out), annotations)
    sources = listed.sources
    splits = sorted({source.split for source in sources} - {""})
    if not splits and split in ("val", "test"):
        raise ArgumentError(f"dataset {dataset} has no split folders, so no split {split!r}; give none, or 'all'")
    if not splits or split == "all":
        chosen, unsplit = sources, []
    else:
        chosen, unsplit = ([source for source in sources if source.split == wanted] for wanted in (split, ""))
    if not chosen:
        reason = f"none of split {split!r}, but of {', '.join(splits)}; give split" if splits else "no picture"
        first = f" (the first: {listed.failed[0].source} {listed.failed[0].reason})" if listed.failed else ""
        raise ArgumentError(f"dataset {dataset} holds {reason}{first}; known suffixes: {', '.join(read_suffixes)}")
    return Found(chosen, unsplit, expanded, listed.failed)


def find_job_sources(plan: ExpandPlan, *, resume: bool, listed: bool) -> Found:
    """Find the sources of a job.

    Args:
        plan: settings.
        resume: True to add sources of the job's list that were deleted since.
        listed: True to take the list of a prepared job instead of looking into the dataset folder.
    """
    dataset, out = Path(plan.dataset), Path(plan.out)
    if listed and is_prepared(out) and (out / SOURCES).exists():
        return Found(listed_sources(dataset, out), [], [])
    found = find_sources(plan.dataset, out=out, split=plan.split, annotations=plan.annotations)
    return found._replace(chosen=with_deleted(found.chosen, dataset, out)) if resume else found


def list_unsplit(plan: ExpandPlan, unsplit: Sequence[SourceFile]) -> tuple[Failure, ...]:
    """Return a failure for each source without a split, or raise `MediaError` if the plan says so."""
    reason = "is outside the split folders and in no split; move it into one of them, or use split 'all'"
    skipped = tuple(Failure(source.key, reason) for source in unsplit)
    if skipped and plan.on_error == "raise":
        raise MediaError(f"{skipped[0].source}: {reason}")
    return skipped


def list_unusable(plan: ExpandPlan, failed: Sequence[Failure]) -> tuple[Failure, ...]:
    """Return the entries of a list or an archive that cannot be sources, or raise `MediaError` if the plan says so."""
    if failed and plan.on_error == "raise":
        raise MediaError(f"{failed[0].source} {failed[0].reason}")
    return tuple(failed)


def _list_folder(dataset: Path, out: Path, annotations: str | None) -> tuple[Listed, list[str]]:
    """List the pictures of a folder on this machine, or of the archives in it; and the expanded datasets in it."""
    if not dataset.is_dir():
        raise ArgumentError(
            f"dataset {dataset} is not a folder; give the folder that holds the pictures, a list of pictures (.csv, "
            ".jsonl), or archives (.tar, .parquet)"
        )
    if out.resolve() == dataset.resolve():
        raise ArgumentError(f"out is the dataset itself ({dataset}); give another folder")
    avoided = {out.resolve(), *([Path(annotations).resolve()] if annotations else [])}
    # Pictures that cannot be read are sources, too: reading them fails, and the report names them.
    keys, expanded = list_pictures(dataset, (*read_suffixes, *unread_suffixes), avoided=avoided)
    archives = None if keys else list_archives_below(str(dataset))
    if archives is not None:
        return archives, expanded
    named = zip(keys, named_by_folders(keys), strict=True)
    sources = [SourceFile(dataset, key, label, split) for key, (label, split) in named]
    return labelled_by_metadata(dataset, sources), expanded


def digest_sources(sources: Sequence[SourceFile]) -> str:
    """Return the sha256 of the names and sizes of all sources, to detect changes of a dataset."""
    return digest_sizes((source.key, source.num_bytes) for source in sources)


def save_sources(out: Path, sources: Sequence[SourceFile]) -> None:
    """Save the list of a job's sources, unless it is saved already.

    The division into shards and the names of copies depend on all sources. With the list, a job can be resumed after a
    source is deleted.
    """
    if not (out / SOURCES).exists():
        with replacing(out / SOURCES, durable=True) as temporary, temporary.open("w", encoding="utf-8") as file:
            for source in sources:
                reader = [] if source.reader is None else [to_json(source.reader)]
                values = [source.key, source.label, source.split, source.num_bytes, *reader]
                file.write(f"{json.dumps(values)}\n")


def check_job(out: Path, dataset: Path, sources: Sequence[SourceFile], facts: Mapping[str, Any]) -> None:
    """Check that a job is resumed with the facts, and the pictures, classes and splits, that it began with.

    Args:
        out: output folder.
        dataset: dataset folder.
        sources: sources of the resumed job.
        facts: facts of the resumed job, see `check_facts`.

    Raises:
        ResumeError: they differ; the message names them.
    """
    summary = read_summary(out)
    check_facts(out, summary, {name: fact for name, fact in facts.items() if name != "dataset"})
    listed = read_sources(dataset, out / SOURCES) if (out / SOURCES).exists() else iter(())
    if summary.get("dataset") == facts["dataset"]:
        if all(_place(was) == _place(now) for was, now in zip(listed, sources, strict=False)):
            return
        listed = read_sources(dataset, out / SOURCES)
    changes = "; ".join(_changes({source.key: source for source in listed}, {source.key: source for source in sources}))
    if changes:
        raise ResumeError(
            f"{out} was begun with other pictures, and a job cannot change them; restore them, or give a new folder: "
            f"{changes}"
        )
    check_facts(out, summary, {"dataset": facts["dataset"]})  # the list of sources is lost


def _changes(was: Mapping[str, SourceFile], now: Mapping[str, SourceFile]) -> Iterator[str]:
    """Describe the differences of two lists of sources."""
    both = [key for key in was if key in now]
    for change, keys in {
        "new": [key for key in now if key not in was],
        "missing": [key for key in was if key not in now],
        "of another size": [key for key in both if was[key].num_bytes != now[key].num_bytes],
        "of another class or split": [key for key in both if _place(was[key]) != _place(now[key])],
    }.items():
        if keys and was:
            yield f"{change}: {', '.join(keys[:3])}" + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _place(source: SourceFile) -> tuple[str, str, str]:
    return source.key, source.label, source.split


def with_deleted(sources: Sequence[SourceFile], dataset: Path, out: Path) -> list[SourceFile]:
    """Add the deleted sources of a job's list; they fail like other files that cannot be read.

    If the dataset has new sources, no source is added, and the comparison of the settings reports another dataset.

    Raises:
        ResumeError: the list is damaged.
    """
    listed = list(read_sources(dataset, out / SOURCES)) if (out / SOURCES).exists() else []
    if any(source.reader for source in listed):
        return _with_recorded_sizes(sources, listed)
    found = {source.key for source in sources}
    deleted = [source for source in listed if source.key not in found and not _is_there(source)]
    if not deleted or len(listed) != len(found) + len(deleted):
        return list(sources)
    return sorted([*sources, *deleted], key=lambda source: source.key)


def _with_recorded_sizes(sources: Sequence[SourceFile], listed: Sequence[SourceFile]) -> list[SourceFile]:
    """Use the recorded sizes of deleted files that a list of pictures names."""
    recorded = {source.key: source for source in listed}
    return [source if _is_there(source) else recorded.get(source.key, source) for source in sources]


def _is_there(source: SourceFile) -> bool:
    return source.path is None or exists(source.path)


def listed_sources(dataset: Path, out: Path) -> list[SourceFile]:
    """Return the sources of a job's list, without reading the dataset folder.

    Raises:
        ResumeError: the list is damaged.
    """
    return list(read_sources(dataset, out / SOURCES))


def read_sources(dataset: Path, path: Path) -> Iterator[SourceFile]:
    """Read the list that `save_sources` saved.

    Raises:
        ResumeError: the list is damaged.
    """
    try:
        with open_text(path, MANIFEST) as lines:
            for line in lines:
                yield _listed_source(dataset, *json.loads(line))
    except UnsafeFileError as cause:
        raise ResumeError(str(cause)) from cause
    except (ValueError, TypeError, RecursionError) as cause:
        raise ResumeError(f"{path} is damaged; remove it, and resume") from cause


def _listed_source(dataset: Path, key: Any, label: Any, split: Any, num_bytes: Any, reader: Any = None) -> SourceFile:
    if not all(isinstance(word, str) for word in (key, label, split)) or type(num_bytes) is not int:
        raise ValueError("a source has a key, a label, a split and a size")
    if PurePosixPath(key).is_absolute() or ".." in PurePosixPath(key).parts or "\0" in key:
        raise ValueError("a key is a path below the dataset")
    if reader is None:
        return SourceFile(dataset, key, label, split, num_bytes)
    return SourceFile(Path(), key, label, split, num_bytes, from_json(reader))

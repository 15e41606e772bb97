"""The end of a job: join rows, write annotations, contact sheet, dataset card and summary, and report the outcome.

Without the dataset card, a README.md, Hugging Face datasets would treat a folder called `test` among classes as a
split, and the numbers of classes in tar files would have no names. The YAML head of the card has both facts, so that
`load_dataset(OUT)` need not guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

from fomaug import __version__
from fomaug.expand.contact import choose_sources, remove_thumbnails, save_contact_sheet
from fomaug.expand.index import RowIndex
from fomaug.expand.manifest import Row, read_rows
from fomaug.expand.originals import Originals, archived_suffix
from fomaug.expand.output import CARD, CONTACT_SHEET, MANIFEST, REJECTED, SUMMARY, push, remove_pieces
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.prepare import Prepared, inputs_of
from fomaug.expand.report import ExpandReport, Failure, describe_profile, save_summary
from fomaug.expand.samples import MOST_SHOWN, SUFFIXES
from fomaug.expand.shards import Division
from fomaug.expand.shares import Share
from fomaug.expand.sources import SourceFile
from fomaug.expand.tasks import Tasks
from fomaug.files import write_file
from fomaug.labels import Flaw
from fomaug.media import Provenance, written_format

_SPLITS: Final = {"train": "train", "val": "validation", "test": "test"}
_ARCHIVES: Final = {"webdataset": "tar", "parquet": "parquet"}
_JSON: Final = {"source": "string", "source_id": "string", "copy": "int64", "label": "string", "hash": "string"}
"""Entries of the rows in tar files that every row has, with their types in Hugging Face datasets."""
_ORIGINALS: Final = """
The originals are here, too, unchanged and without a mark; in `manifest.jsonl`, their rows have `"original": true`.
"""
_READERS: Final = {
    "folder": "`torchvision.datasets.ImageFolder`",
    "webdataset": "`webdataset.WebDataset`",
    "parquet": "any reader of parquet",
}


def complete(prepared: Prepared, index: RowIndex, tasks: Tasks, report: ExpandReport) -> ExpandReport:
    """Write all files that describe the whole dataset, and complete the report of the job."""
    out, annotator = prepared.out, prepared.stages.annotator
    shown = _choose_rows(prepared, index)
    setup = prepared.setup()
    index.join()
    originals = Originals(setup.plan, prepared.sources, setup.classes, annotator)
    unused = {failure.source for failure in (*report.failed, *tasks.failed)}
    count = 0 if setup.plan.include_sources == "none" else originals.add(unused)
    if annotator is not None:
        annotator.write_all(read_rows(out / MANIFEST, originals=True))
    url = prepared.plan.out_url
    sheet, unshown = save_contact_sheet(out, shown, prepared.sources, _provenance(prepared), url=url)
    save_card(
        setup.plan, prepared.sources, setup.classes, metadata=annotator is not None and annotator.format == "jsonl"
    )
    failed = (*report.failed, *_sort(tasks.failed, prepared.division), *originals.failed)
    named = {failure.source for failure in failed}
    report = replace(
        _count(prepared, index, tasks, report),
        failed=(*failed, *(failure for failure in unshown if failure.source not in named)),
        originals=count,
        unannotated=0 if annotator is None else len(annotator.missing),
        labels=index.count_labels(),
        contact_sheet=sheet,
    )
    summary = {"state": "done", **report.result(), **prepared.facts, "given": inputs_of(prepared.plan)}
    save_summary(out, summary)
    remove_thumbnails(out)
    push(prepared.plan, MANIFEST, REJECTED, CONTACT_SHEET, CARD, SUMMARY)
    remove_pieces(prepared.plan)
    return report


def report_share(prepared: Prepared, index: RowIndex, tasks: Tasks, report: ExpandReport, share: Share) -> ExpandReport:
    """Complete the report of a share; its rows stay in its parts until all shares are joined."""
    failed = (*report.failed, *_sort(tasks.failed, prepared.division))
    return replace(_count(prepared, index, tasks, report, share), failed=failed, shard=str(share))


def _count(
    prepared: Prepared, index: RowIndex, tasks: Tasks, report: ExpandReport, share: Share | None = None
) -> ExpandReport:
    written, rejected = index.counts(None if share is None else share.groups(prepared.division.num_groups))
    return replace(
        report,
        written=written,
        new=written - report.written,
        rejected=rejected,
        skipped_clips=tuple(Failure(clip, reason) for clip, reason in prepared.stages.augment.driving.skipped),
        flawed=_list_flaws(prepared, index, tasks.flaws),
        profile=tuple(describe_profile(tasks.seconds)),
    )


def _choose_rows(prepared: Prepared, index: RowIndex) -> dict[str, list[Row]]:
    """Choose the rows of the contact sheet, by the key of their source, in planned order."""
    keys = choose_sources([source.key for source in prepared.sources])
    keys.sort(key=lambda key: prepared.division.span(key).start)
    return {key: index.rows_of(key, MOST_SHOWN) for key in keys}


def _provenance(prepared: Prepared) -> Provenance:
    model, pool = prepared.stages.augment.model, prepared.stages.augment.driving
    return Provenance(model.name, model_hash=model.hash, pool_hash=pool.hash, source_type="composite")


def _sort(failed: Iterable[Failure], division: Division) -> list[Failure]:
    """Sort failures into planned order, one for each source."""
    first = {failure.source: failure for failure in reversed(list(failed))}
    return sorted(first.values(), key=lambda failure: division.span(failure.source).start)


def _list_flaws(prepared: Prepared, index: RowIndex, unrecorded: Sequence[Flaw]) -> tuple[Failure, ...]:
    """List flaws from the reader, from the rows, and of sources without rows."""
    annotator = prepared.stages.annotator
    if annotator is None:
        return ()
    others = {(flaw.where, flaw.described) for flaw in (*annotator.flaws, *unrecorded)}
    return tuple(Failure(*found) for found in sorted(index.flaws | others))


def save_card(
    plan: ExpandPlan, sources: Sequence[SourceFile], classes: Sequence[str], *, metadata: bool = False
) -> None:
    """Write the card of an output folder, unless it exists, because users may have edited it.

    Args:
        plan: settings of the job.
        sources: source files.
        classes: labels of all copies, as archives number them.
        metadata: whether the annotations are in `metadata.jsonl`, which datasets reads with the pictures.
    """
    path = Path(plan.out) / CARD
    if not path.exists():
        head = make_head(plan, sources, classes, metadata=metadata)
        text = f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n\n{_body(plan)}"
        write_file(path, text.encode("utf-8", "backslashreplace"), durable=True)


def make_head(
    plan: ExpandPlan, sources: Sequence[SourceFile], classes: Sequence[str], *, metadata: bool = False
) -> dict[str, Any]:
    """Make the YAML head of a card, see `save_card`."""
    originals = plan.include_sources != "none"
    files = _folder_files(sources, originals=originals) if plan.format == "folder" else _archive_files(plan, sources)
    config: dict[str, Any] = {"config_name": "default", "default": True}
    if plan.format == "folder" and metadata and set(files) == {"train"} and not any(source.split for source in sources):
        files["train"].append("metadata.jsonl")
    elif plan.format == "folder" and classes:
        # Classes are the folders directly above the pictures; datasets would use other folders.
        config["drop_labels"] = not all(source.label and not source.folder for source in sources)
    config["data_files"] = [{"split": split, "path": paths} for split, paths in files.items()]
    head = {"tags": ["synthetic", "fomaug"], "configs": [config]}
    return head | ({"dataset_info": _tar_info(plan, sources, classes)} if plan.format == "webdataset" else {})


def _folder_files(sources: Sequence[SourceFile], *, originals: bool) -> dict[str, list[str]]:
    folders = sorted({(source.split, source.split_folder) for source in sources if source.split})
    if not folders:
        own = {PurePosixPath(source.key).suffix for source in sources} if originals else set[str]()
        return {"train": [f"**/*{suffix}" for suffix in sorted({*SUFFIXES.values(), *own})]}
    files: dict[str, list[str]] = {}
    for split, folder in folders:
        files.setdefault(_SPLITS[split], []).append(f"{folder}/**")
    return files


def _archive_files(plan: ExpandPlan, sources: Iterable[SourceFile]) -> dict[str, list[str]]:
    suffix = _ARCHIVES[plan.format]
    splits = sorted({source.split for source in sources} - {""})
    return {_SPLITS[split]: [f"{split}/*.{suffix}"] for split in splits} or {"train": [f"train-*.{suffix}"]}


def _tar_info(plan: ExpandPlan, sources: Iterable[SourceFile], classes: Sequence[str]) -> dict[str, Any]:
    """Describe the members of tar files: datasets would expect those of the first file in all files."""
    keys = [PurePosixPath(source.key) for source in sources]
    if plan.image_format == "same":
        members = {SUFFIXES[written_format(key.suffix)] for key in keys}
    else:
        members = {SUFFIXES[plan.image_format]}
    if plan.include_sources != "none":
        members |= {archived_suffix(key.suffix) for key in keys}
    numbers = {"class_label": {"names": {str(number): name for number, name in enumerate(classes)}}}
    return {
        "features": [
            *({"name": suffix.removeprefix("."), "dtype": "image"} for suffix in sorted(members)),
            *([{"name": "cls", "dtype": numbers}] if classes else []),
            {"name": "json", "struct": [{"name": name, "dtype": kind} for name, kind in _JSON.items()]},
            {"name": "__key__", "dtype": "string"},
            {"name": "__url__", "dtype": "string"},
        ]
    }


def _body(plan: ExpandPlan) -> str:
    name = Path(plan.dataset).resolve().name
    has_originals = plan.include_sources != "none"
    title = f"{name} with synthetic copies" if has_originals else f"Synthetic copies of {name}"
    originals = _ORIGINALS if has_originals else ""
    rows = "a row for each copy and each original" if has_originals else "a row for each copy"
    return f"""# {title}

fomaug {__version__} made these copies of the pictures in `{name}` with the model {plan.model}. Each face moves as
that of a driving clip does. Every animated copy is marked as synthetic in its file (`fomaug verify`).
{originals}
![Some pictures, left, and their copies]({CONTACT_SHEET})

Read the folder with `datasets.load_dataset(FOLDER)`, with {_READERS[plan.format]}, or convert it with `fomaug convert`.

| file | content |
| --- | --- |
| `manifest.jsonl` | {rows}: its file, source, class, split, scores and motion |
| `rejected.jsonl` | a row for each copy that the quality gates rejected |
| `sources.jsonl` | a row for each picture that the dataset had when the job began |
| `expand.json` | settings, model, counts, and everything that could not be used |
| `{CONTACT_SHEET}` | some pictures and their copies; hidden, since loaders read every picture as a sample |
"""

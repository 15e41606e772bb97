"""Run one conversion, from its arguments to its report."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from tqdm import tqdm
from typing_extensions import TypedDict, Unpack

from fomaug import __version__, files
from fomaug.animator import Animator
from fomaug.convert.crops import Aligner, PointDetector, make_aligner
from fomaug.convert.entries import Entry, ExpandedDataset, open_expanded
from fomaug.convert.formats import Context, Converter, find_converter
from fomaug.convert.outputs import Outputs, Pictures, with_content
from fomaug.convert.plan import CategoryOption, ConvertPlan, PointSource
from fomaug.convert.survey import Survey, has_scheme, survey
from fomaug.errors import ArgumentError, FomaugError, LabelError, MediaError, ResumeError, reason_of
from fomaug.expand.manifest import explained_writes
from fomaug.expand.output import locked
from fomaug.expand.report import Failure
from fomaug.files import read_regular, write_file
from fomaug.labels import read_categories
from fomaug.media import decode_picture, encode_image
from fomaug.options import IncludeSources
from fomaug.untrusted import load_json
from fomaug.weights import load_model

STATE: Final = ".fomaug-convert.json"
_LEAST_SIDE: Final = 64  # of a JPEG that is decoded only for a check; a reduced one is decoded faster


class ConvertOptions(TypedDict, total=False):
    """Further keyword arguments of `fomaug.convert`; `ConvertPlan` documents them."""

    include_sources: IncludeSources
    align: int | None
    margin: float
    points: PointSource
    categories: CategoryOption
    quality: int


@dataclass(frozen=True)
class ConvertReport:
    """The outcome of a conversion.

    Attributes:
        dest: folder of the converted dataset.
        files: label files below it.
        originals: number of originals in the result.
        copies: number of copies in the result.
        notes: labels that the format cannot store, as sentences.
        failed: unusable pictures with their reasons.
        left_out: number of left-out faces and pictures by reason.
    """

    dest: Path
    files: tuple[str, ...]
    originals: int
    copies: int
    notes: tuple[str, ...]
    failed: tuple[Failure, ...]
    left_out: Mapping[str, int]

    @property
    def complete(self) -> bool:
        """Whether all pictures could be used."""
        return not self.failed


class _Job(NamedTuple):
    dataset: ExpandedDataset
    survey: Survey
    plan: ConvertPlan
    aligner: Aligner | None


def convert(
    out: str | Path,
    dest: str | Path,
    *,
    to: str,
    dataset: str | Path | None = None,
    annotations: str | Path | None = None,
    model: str | Path | Animator | None = None,
    detector: PointDetector | None = None,
    resume: bool = False,
    progress: bool = False,
    on_note: Callable[[str], object] | None = None,
    **options: Unpack[ConvertOptions],
) -> ConvertReport:
    """Convert an expanded dataset, with its originals, to a format that trainers read.

    Args:
        out: folder that `expand` wrote.
        dest: folder of the converted dataset; a new one, or that of a conversion to resume.
        to: name of the format.
        dataset: folder of the originals; None for the folder that was expanded.
        annotations: path of the annotations of the originals; None for the annotations that were expanded.
        model: face model for aligned crops; None for the model that made the copies.
        detector: function from an (H, W, 3) uint8 picture to the five points (N, 5, 2) of each face in pixels, for
            aligned crops: left eye, right eye, nose tip, left and right corner of the mouth; left is the viewer's.
        resume: whether an interrupted conversion is continued; existing pictures are kept.
        progress: whether a progress bar is shown.
        on_note: function for notes on labels that the format cannot store, called before the first write; None to warn.
        options: further fields of `ConvertPlan`.

    Returns:
        The numbers of converted pictures, and the unusable ones.

    Raises:
        LabelError: the dataset lacks labels that the format needs.
        ArgumentError: an argument is out of range, or the originals are missing.
        ResumeError: `dest` is not empty, or was written by a conversion with other arguments.
    """
    plan = ConvertPlan(to, **options)
    converter = find_converter(to)
    opened = open_expanded(
        Path(out),
        originals=plan.include_sources != "none",
        dataset=dataset,
        annotations=None if annotations is None else Path(annotations),
    )
    found = survey(opened.entries(), masks=opened.has_masks, side=plan.align)
    aligner = _make_aligner(plan, opened, found, model, detector)
    notes = converter.check(found, plan)
    for note in notes:
        _warn(note) if on_note is None else on_note(note)
    job = _Job(opened, found, plan, aligner)
    with locked(Path(dest)), explained_writes(Path(dest), remedy=""):
        _begin(Path(dest), Path(out), plan, resume=resume)
        report = _run(job, converter, Path(dest), notes, progress=progress)
        _save_state(Path(dest), Path(out), plan, "done")
    return report


def _warn(note: str) -> None:
    warnings.warn(note, stacklevel=3)


def _make_aligner(
    plan: ConvertPlan,
    opened: ExpandedDataset,
    found: Survey,
    model: str | Path | Animator | None,
    detector: PointDetector | None,
) -> Aligner | None:
    if plan.align is None:
        if detector is not None:
            raise ArgumentError(
                "a detector is used only for aligned crops; give align, the side of the crops in pixels"
            )
        return None
    annotated = has_scheme(found.num_points)
    if plan.points == "annotations" and not annotated:
        raise LabelError("points=annotations needs landmarks of a known scheme for every face; use points=model")
    animator = None
    if detector is None and (plan.points == "model" or not annotated):
        name = (opened.summary.get("given") or {}).get("model") or "lite-256"
        animator = model if isinstance(model, Animator) else load_model(model or name)
    return make_aligner(plan.align, plan.margin, plan.points, model=animator, detector=detector)


def _run(job: _Job, converter: type[Converter], dest: Path, notes: Iterable[str], *, progress: bool) -> ConvertReport:
    """Convert all pictures; the label files get their final names at the end."""
    plan = job.plan
    outputs = Outputs(dest)
    pictures = Pictures(
        dest,
        plan.include_sources,
        encode=converter.encode,
        suffixes=converter.suffixes,
        quality=plan.quality,
    )
    writer = converter(Context(outputs, pictures, job.survey, plan, _category_names(job.dataset)))
    failed: dict[str, Failure] = {}
    counts = {True: 0, False: 0}
    try:
        for entry in tqdm(_entries(job, converter), total=job.survey.pictures, disable=not progress, unit="picture"):
            try:
                _check_whole(entry, job.aligner)
                counts[entry.copy is None] += writer.add(_aligned(entry, job.aligner, plan))
            except (MediaError, LabelError) as cause:
                failed[entry.name] = Failure(entry.name, str(cause))
        writer.finish()
    except BaseException:
        outputs.abandon()
        raise
    outputs.finish()
    failures = (*job.dataset.failed.values(), *failed.values())
    flaws = (Failure(flaw.where, flaw.described) for flaw in job.dataset.flaws.values())
    return ConvertReport(
        dest, tuple(outputs.names), counts[True], counts[False], tuple(notes), (*failures, *flaws), writer.left_out
    )


def _entries(job: _Job, converter: type[Converter]) -> Iterable[Entry]:
    if converter.by_label:
        # The pictures are read later, one by one.
        return sorted(job.dataset.entries(), key=lambda entry: entry.label)
    return job.dataset.entries()


def _check_whole(entry: Entry, aligner: Aligner | None) -> None:
    """Decode an original to check it, because a file whose bytes are kept is not decoded otherwise.

    Copies need no check, because their bytes were hashed when they were written. Aligned originals are decoded anyway.

    Raises:
        MediaError: the original cannot be decoded.
    """
    if entry.copy is None and aligner is None:
        decode_picture(entry.load(), Path(entry.name).suffix, least_side=_LEAST_SIDE)


def _aligned(entry: Entry, aligner: Aligner | None, plan: ConvertPlan) -> Entry:
    """Replace the picture of an entry by its aligned crop, a JPEG."""
    if aligner is None:
        return entry
    picture = decode_picture(entry.load(), Path(entry.name).suffix)
    crop, labels = aligner(picture, entry.labels)
    content = encode_image(crop.whole, "jpeg", provenance=entry.provenance, quality=plan.quality)
    return with_content(replace(entry, labels=labels, size=crop.size), content, ".jpg")


def _category_names(opened: ExpandedDataset) -> dict[int, str]:
    """Read the names of categories from the COCO file of the originals; empty without one."""
    given = opened.annotations_path or Path((opened.summary.get("given") or {}).get("annotations") or "")
    is_coco = (opened.summary.get("annotations") or {}).get("format") == "coco"
    return read_categories(given) if is_coco and given.is_file() else {}


def _begin(dest: Path, out: Path, plan: ConvertPlan, *, resume: bool) -> None:
    """Start a new folder, or check that the folder was written with the same plan."""
    filled = any(path.name not in (STATE, ".fomaug-lock") for path in dest.iterdir())
    known = _read_state(dest) if (dest / STATE).exists() else None
    if filled and not resume:
        raise ResumeError(
            f"{dest} is not empty; give a new folder, or resume=True (--resume) to continue its conversion"
        )
    if filled and known is None:
        raise ResumeError(f"{dest} was not written by fomaug convert; give a new folder")
    facts = _facts(out, plan)
    if known is not None and filled and {name: known.get(name) for name in facts} != facts:
        changed = [name for name in facts if known.get(name) != facts[name]]
        raise ResumeError(
            f"{dest} was made with another {', '.join(changed)}; give the same values again, or a new folder"
        )
    _save_state(dest, out, plan, "running")


def _facts(out: Path, plan: ConvertPlan) -> dict[str, Any]:
    return {"fomaug": __version__, "out": str(out.resolve()), **asdict(plan)}


def _save_state(dest: Path, out: Path, plan: ConvertPlan, state: str) -> None:
    text = json.dumps({"state": state, **_facts(out, plan)}, indent=2)
    write_file(dest / STATE, f"{text}\n".encode(), durable=True)


def _read_state(dest: Path) -> dict[str, Any]:
    try:
        found = load_json(read_regular(dest / STATE, files.SUMMARY), dest / STATE, ResumeError)
    except FomaugError as cause:
        raise ResumeError(f"{dest / STATE} is damaged; give a new folder") from cause
    except OSError as cause:
        raise ResumeError(f"{dest / STATE} cannot be read: {reason_of(cause)}") from cause
    return found if isinstance(found, dict) else {}

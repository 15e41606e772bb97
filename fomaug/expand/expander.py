"""The expansion of batches, for pipelines that read and write their data themselves."""

from __future__ import annotations

import json
import os
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, get_args

from typing_extensions import Unpack

from fomaug.errors import ArgumentError, LabelError, MediaError, check_choice, did_you_mean
from fomaug.expand.columns import BatchRow, check_columns, read_rows
from fomaug.expand.copies import Outcome, make_planned
from fomaug.expand.gates import make_judge, read_gates
from fomaug.expand.labels import check_clip_labels, check_mapped
from fomaug.expand.plan import ExpandOptions, ExpandPlan, LabelOption
from fomaug.expand.resources import Stages, load_augment
from fomaug.expand.samples import encode_copy, move_labels
from fomaug.expand.shards import plan_units
from fomaug.expand.sources import Loaded, SourceFile, SourceJob, decode, make_locator, prepare
from fomaug.labels import FaceLabels, Flaw, fit
from fomaug.motion import Selection
from fomaug.options import AUTO, OnError, with_presets

Flaws = Literal["warn", "column"]

_JOB_ONLY: Final = (
    *("dataset", "out", "include_sources", "format", "samples_per_shard", "split", "balance", "max_copies", "workers"),
    *("annotations", "annotation_format", "engine", "processes", "address"),
)
"""Settings of a whole dataset or its files, which a batch does not have."""
_NOWHERE: Final = "<batches>"
_OUTPUTS: Final = ("image", "key", "source_key", "copy", "label", "annotation", "motion", "scores")
_NAMED: Final = 5  # rows that a warning names
_Record = dict[str, Any]


class UnusedRowsWarning(UserWarning):
    """Some rows of a batch could not be used; the copies of all others were made."""


class Expander:
    """Make the copies of `fomaug.expand` for batches of columns, as a function that data pipelines call.

    The draw of a copy depends on its source's key, the options, the pool and the model, not on the batch, the order or
    the process, and so do its bytes if `batch_size` is at most `copies`. With larger passes, which hold several
    sources, the last bits of floating-point numbers depend on the sources that are in a pass together; as in
    `fomaug.expand`, these are neighbours. Options are plain JSON and are all that is pickled. Each process loads the
    model when it gets its first batch.

    >>> import json
    >>> expand = Expander(copies=4, seed=1, gates="off")
    >>> Expander(**json.loads(json.dumps(expand.options)))
    Expander(copies=4, seed=1, gates='off')

    Args:
        driving: "auto", "builtin", "gestures", "parametric", "views", the file of a pool, a clip, or a folder of clips.
            "auto" names the views of the purpose "recognition", see `fomaug.options.recommended_driving`.
        copies: number of copies of each source.
        model: name of an installed model, or path of a model file.
        seed: seed of all draws.
        selection: "diverse", "uniform" or "sequence".
        strength_range: interval that the share of motion is drawn from.
        labels: "keep", "from_clip", "drop", or a mapping from old to new labels.
        on_error: "skip" to leave out rows and annotations that cannot be used, or "raise".
        flaws: report of the rows and annotations that are left out, and of copies that the gates reject: "warn" for
            one warning for each batch, without the rejected copies; "column" for a further column `flaw`, and a row
            without an image for each of them.
        columns: names of the columns of `image`, `key`, `label` and `annotation`, where they differ from these.
        options: further fields of `fomaug.expand.ExpandPlan`, but for those of a whole dataset.
    """

    @with_presets(*(field.name for field in fields(ExpandPlan)))
    def __init__(
        self,
        *,
        driving: str | Path = AUTO,
        copies: int = 8,
        model: str | Path = "lite-256",
        seed: int = 0,
        selection: Selection = "diverse",
        strength_range: tuple[float, float] = (0.3, 1.0),
        labels: LabelOption = "keep",
        on_error: OnError = "skip",
        flaws: Flaws = "warn",
        columns: Mapping[str, str] | None = None,
        **options: Unpack[ExpandOptions],
    ) -> None:
        _check_names(options)
        check_choice("flaws", flaws, get_args(Flaws))
        self.flaws = flaws
        self.columns = check_columns(columns)
        self.plan = ExpandPlan(
            dataset=_NOWHERE,
            out=_NOWHERE,
            driving=str(driving),
            copies=copies,
            model=str(model),
            seed=seed,
            selection=selection,
            strength_range=_plain(strength_range),
            labels=labels,
            on_error=on_error,
            **{name: _plain(value) for name, value in options.items()},
        )
        read_gates(self.plan.gates)

    @property
    def options(self) -> dict[str, Any]:
        """The options that differ from their defaults, as plain JSON; `Expander(**options)` is an equal one."""
        defaults = ExpandPlan(_NOWHERE, _NOWHERE, purpose=self.plan.purpose).to_dict()
        changed = {name: value for name, value in self.plan.to_dict().items() if value != defaults[name]}
        renamed = {name: column for name, column in self.columns.items() if name != column}
        own = {"flaws": self.flaws} if self.flaws != "warn" else {}
        return {**changed, **own, **({"columns": renamed} if renamed else {})}

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Make the copies of a batch.

        Args:
            batch: columns of equal length: `image` (bytes of files, (H, W, 3) uint8 arrays or PIL images), `key` (name
                of the source in the whole dataset, such as its path), and optionally `label` and `annotation` (JSON as
                in the rows of an expanded dataset, or its text).

        Returns:
            A row for each copy: `image` (bytes of a file), `key`, `source_key`, `copy`, `label`, and `annotation`,
            `motion` and `scores` (texts of JSON). A text is empty where there is no label or annotation.

        Raises:
            ArgumentError: a column is missing.
            LabelError: a label is not in the mapping, or an annotation cannot be used and `on_error` is "raise".
            MediaError: a row cannot be used and `on_error` is "raise".
        """
        rows = read_rows(batch, self.columns)
        if not isinstance(self.plan.labels, str):
            check_mapped(self.plan.labels, {row.label for row in rows if row.content is not None})
        waiting, records = deque(rows), list[_Record]()
        for unit in plan_units([_job(row, self.plan) for row in rows], self.plan.batch_size):
            records += self._expand([(waiting.popleft(), job) for job in unit])
        if self.flaws == "warn":
            _warn(records, len(rows))
            records = [record for record in records if record["image"]]
        names = _OUTPUTS if self.flaws == "warn" else (*_OUTPUTS, "flaw")
        return {name: [record[name] for record in records] for name in names}

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__name__}({values})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._settings,)

    @property
    def _settings(self) -> str:
        return json.dumps(self.options, sort_keys=True)

    def _expand(self, unit: Sequence[tuple[BatchRow, SourceJob]]) -> Iterator[_Record]:
        stages = _load_stages(self._settings)
        sources = [self._load(row, job, stages) for row, job in unit]
        usable = [loaded for loaded in sources if loaded.picture is not None]
        made = iter(make_planned(self.plan, stages.augment, usable, stages.judge))
        for loaded in sources:
            if loaded.picture is None:
                yield _empty(loaded, loaded.reason)
            else:
                yield from (self._record(loaded, outcome, stages) for outcome in next(made))

    def _load(self, row: BatchRow, job: SourceJob, stages: Stages) -> Loaded:
        if row.content is None:
            loaded = Loaded(job, None, reason=row.reason)
        else:
            loaded = decode(job, row.content, self.plan.max_pixels)
        decoded = loaded.picture is not None
        if decoded:
            loaded = prepare(loaded, partial(self._fit, row), stages.locate)
        if loaded.picture is None and (self.plan.on_missing == "error" if decoded else self.plan.on_error == "raise"):
            raise MediaError(f"{job.source.key}: {loaded.reason}")
        return loaded

    def _fit(self, row: BatchRow, key: str, size: tuple[int, int]) -> tuple[FaceLabels | None, tuple[Flaw, ...]]:
        fitting, misfits = (None, []) if row.labels is None else fit(row.labels, size, picture=key)
        flaws = (*row.flaws, *misfits)
        if flaws and self.plan.on_error == "raise":
            raise LabelError(f"{flaws[0]}; correct it, or leave such annotations out with on_error='skip'")
        return fitting, flaws

    def _record(self, loaded: Loaded, outcome: Outcome, stages: Stages) -> _Record:
        """Return the row of a copy, or of a copy that the gates have rejected."""
        if outcome.verdict.reasons:
            return {
                **_empty(loaded, f"rejected by the gates: {', '.join(outcome.verdict.reasons)}"),
                "key": _copy_key(loaded, outcome),
                "copy": outcome.copy,
                "scores": json.dumps(outcome.verdict.scores),
            }
        annotation = move_labels(loaded.labels, outcome.moved)
        sample = encode_copy(loaded, outcome, stages.augment.model, self.plan, annotation)
        return {
            "image": sample.content,
            "key": _copy_key(loaded, outcome),
            "source_key": sample.row["source"],
            "copy": outcome.copy,
            "label": sample.row["label"] or "",
            "annotation": json.dumps(sample.row["annotation"]) if annotation is not None else "",
            "motion": json.dumps(sample.row["motion"]),
            "scores": json.dumps(sample.row["scores"]),
            "flaw": "; ".join(flaw.reason for flaw in loaded.flaws),
        }


def _check_names(options: Mapping[str, object]) -> None:
    known = {field.name for field in fields(ExpandPlan)} - set(_JOB_ONLY)
    for name in options:
        if name in _JOB_ONLY:
            raise ArgumentError(f"Expander has no option {name!r}, which belongs to a whole dataset; use fomaug.expand")
        if name not in known:
            raise ArgumentError(f"Expander has no option {name!r}{did_you_mean(name, known)}")


def _plain(value: Any) -> Any:
    """Return intervals as tuples, which JSON holds as lists."""
    return tuple(value) if isinstance(value, list) else value


def _restore(settings: str) -> Expander:
    return Expander(**json.loads(settings))


@lru_cache(maxsize=2)
def _load_stages(settings: str) -> Stages:
    plan = _restore(settings).plan
    augment = load_augment(plan)
    if plan.labels == "from_clip":
        check_clip_labels(augment.driving)
    return Stages(
        augment=augment,
        judge=make_judge(read_gates(plan.gates), augment.model, batch_size=plan.batch_size),
        locate=make_locator(plan, augment.model, None, annotated=True),
    )


# A forked process loads its own model: it must not use the GPU memory or the threads of its parent.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_load_stages.cache_clear)


def _job(row: BatchRow, plan: ExpandPlan) -> SourceJob:
    source = SourceFile(Path(_NOWHERE), row.key, row.label)
    return SourceJob(source, PurePosixPath(row.key).stem, plan.copies)


def _copy_key(loaded: Loaded, outcome: Outcome) -> str:
    """Return a key that no other copy has, whatever the keys of the sources are."""
    return f"{loaded.job.source.key}_m{outcome.copy:03d}"


def _empty(loaded: Loaded, flaw: str) -> _Record:
    """Return the row of a source without copies."""
    source = loaded.job.source
    texts = dict.fromkeys(("annotation", "motion", "scores"), "")
    own = {"image": b"", "key": source.key, "source_key": source.key, "copy": -1, "label": source.label}
    return {**own, **texts, "flaw": flaw}


def _warn(records: Sequence[_Record], count: int) -> None:
    """Warn of the sources and annotations that could not be used, but not of copies that the gates reject."""
    used = [record for record in records if record["image"] or record["copy"] < 0]
    flawed = {record["source_key"]: record["flaw"] for record in used if record["flaw"]}
    if flawed:
        named = "; ".join(f"{key}: {flaw}" for key, flaw in [*flawed.items()][:_NAMED])
        rest = f"; and {len(flawed) - _NAMED} others" if len(flawed) > _NAMED else ""
        warnings.warn(
            f"{len(flawed)} of {count} pictures could not be used, or not with their annotations: {named}{rest}",
            UnusedRowsWarning,
            stacklevel=3,
        )

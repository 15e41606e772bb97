"""The settings of a study without its arms, checked once."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from fomaug.errors import ArgumentError, check_choice
from fomaug.options import Purpose, option

Task = Literal["recognition", "landmarks", "expression"]
Switch = Literal["on", "off"]

_OF_LANDMARKS = ("annotations", "annotation_format", "test_annotations")
_NETWORK_SIZE, _FEATURE_SIZE = 64, 112


@dataclass(frozen=True)
class StudyPlan:
    """The settings of a study; `fomaug.study` has arguments of the same names."""

    task: Task = option("recognition", "Task of the networks.")
    per_class: int | None = option(None, "Number of training pictures of each class.  [1; expression: all]", least=1)
    train_images: int | None = option(
        None, "Number of training pictures for landmarks.  [all of half the people; with --test: all]", least=1
    )
    test: str | None = option(
        None, "Folder of the test pictures; the training pictures are those of DATASET.  [the other ones of DATASET]"
    )
    annotations: str | None = option(
        None,
        "File or folder of landmarks in any format that expand reads; without --task landmarks, they show where the "
        "faces are: pictures and copies are cut to squares around them.",
    )
    test_annotations: str | None = option(None, "Landmarks of the test folder.  [those of --annotations]")
    annotation_format: str | None = option(None, "Name of the format of the annotations.  [by the path]")
    group_pattern: str | None = option(None, "Regular expression whose group finds the person in a picture's path.")
    normaliser: str = option(
        "auto",
        "Length that landmark errors are divided by: auto, box, or the distance of two landmarks, such as 36,45.",
    )
    choices: int = option(6, "Number of random choices of the training pictures.", least=2)
    seeds: int = option(2, "Number of networks for each choice and arm.", least=1)
    steps: int = option(400, "Number of training steps in every arm.", least=1)
    batch_size: int = option(32, "Number of pictures in a training step.", least=2)
    share: float = option(0.5, "Share of copies in each batch, above 0 and at most 1.")
    copies: int = option(16, "Number of copies of each training picture.", least=1)
    gates: Switch = option("on", "Whether the gates judge the copies.")
    size: int | None = option(None, "Side of the square input in pixels.  [64; with --embedding: 112]", least=16)
    worth: float | None = option(None, "Smallest gain that matters.  [0.01; landmarks: 0.001]")
    seed: int = option(0, "Seed of all random numbers.", least=0)

    def __post_init__(self) -> None:
        check_choice("task", self.task, get_args(Task))
        check_choice("gates", self.gates, get_args(Switch))
        for setting in fields(self):
            value, least = getattr(self, setting.name), setting.metadata.get("least")
            if value is not None and least is not None and value < least:
                raise ArgumentError(f"{setting.name} must be {least} or more, got {value}")
        if not 0 < self.share <= 1:
            raise ArgumentError(
                f"share, the share of copies in a batch, must be above 0 and at most 1, got {self.share}"
            )
        if self.worth is not None and self.worth < 0:
            raise ArgumentError(f"worth, the smallest gain that matters, must be 0 or more, got {self.worth}")
        self._check_task()
        _check_pattern(self.group_pattern)
        _check_normaliser(self.normaliser)

    def _check_task(self) -> None:
        """Raise an error if the task lacks a setting, or would ignore one."""
        allowed = {
            "recognition": {"per_class", *_OF_LANDMARKS},
            "landmarks": {"train_images", *_OF_LANDMARKS, "group_pattern"},
            "expression": {"per_class", *_OF_LANDMARKS, "group_pattern"},
        }[self.task]
        for name in ("per_class", "train_images", *_OF_LANDMARKS, "group_pattern"):
            value = getattr(self, name)
            if value is not None and name not in allowed:
                raise ArgumentError(f"{name} has no meaning for task {self.task!r}; leave it out")
        if self.test_annotations is not None and self.test is None:
            raise ArgumentError("test_annotations are the landmarks of a test folder; give test, or leave them out")
        for name in ("annotation_format", "test_annotations"):
            if getattr(self, name) is not None and self.annotations is None:
                raise ArgumentError(f"{name} has no meaning without annotations; give annotations, or leave it out")
        if self.task == "landmarks" and self.annotations is None:
            raise ArgumentError("task 'landmarks' needs annotations: a file or folder that fomaug.labels can read")
        if self.task == "expression" and self.group_pattern is None:
            raise ArgumentError(
                "task 'expression' tests on people whom the networks have not seen; give group_pattern, a regular "
                r"expression with a group that finds the person in the path below the dataset, such as '(p\d+)_'"
            )

    @property
    def purpose(self) -> Purpose:
        """Purpose whose preset makes the copies of the arm "copies"."""
        return "auto" if self.task == "recognition" else self.task

    @property
    def pictures_per_class(self) -> int | None:
        """Number of training pictures per class; None means all, for expression only."""
        return 1 if self.per_class is None and self.task == "recognition" else self.per_class

    @property
    def smallest_gain(self) -> float:
        """Smallest gain that matters, in the unit of the score."""
        return self.worth if self.worth is not None else 0.001 if self.task == "landmarks" else 0.01

    def side(self, *, features: bool) -> int:
        """Return the side in pixels of the square input of the network, or of a given model of features."""
        return self.size or (_FEATURE_SIZE if features else _NETWORK_SIZE)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON."""
        return asdict(self)


def _check_pattern(pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        groups = re.compile(pattern).groups
    except re.error as cause:
        raise ArgumentError(f"group_pattern {pattern!r} is not a regular expression: {cause}") from cause
    if groups != 1:
        raise ArgumentError(
            rf"group_pattern {pattern!r} has {groups} groups; one is expected, as in '(p\d+)_', which finds the person"
        )


def _check_normaliser(text: str) -> None:
    if text not in ("auto", "box") and not re.fullmatch(r"\d+,\d+", text):
        raise ArgumentError(
            f"normaliser must be auto, box, or the numbers of two landmarks such as '36,45' (from 0), got {text!r}"
        )

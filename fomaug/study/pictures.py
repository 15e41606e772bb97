"""The picture files of a study: list them with their labels, classes and people."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fomaug.errors import ArgumentError, LabelError, did_you_mean
from fomaug.files import PICTURE, read_regular
from fomaug.labels import FaceLabels, read_annotations
from fomaug.media import digest_sizes, file_size, list_pictures, read_suffixes
from fomaug.study.plan import StudyPlan

_SPLITS: Final = {"train", "training", "val", "valid", "validation", "test", "testing"}

_EYES: Final = {5: (0, 1), 68: (36, 45)}


def find_pictures(folder: Path, kind: str = "dataset") -> list[str]:
    """List the keys of the pictures below a folder, sorted; hidden files and expanded datasets are left out.

    Args:
        folder: folder of pictures.
        kind: name of the folder in messages: dataset or test folder.

    Raises:
        ArgumentError: the folder does not exist, holds no pictures, or is divided into splits.
    """
    if not folder.is_dir():
        raise ArgumentError(f"{kind} {folder} is not a folder; give the folder that holds the pictures")
    keys = list_pictures(folder, read_suffixes).keys
    if not keys:
        raise ArgumentError(f"{kind} {folder} holds no pictures; known suffixes: {', '.join(read_suffixes)}")
    tops = {PurePosixPath(key).parts[0] for key in keys if "/" in key}
    if splits := sorted(top for top in tops if top.lower() in _SPLITS):
        raise ArgumentError(
            f"{kind} {folder} has the split folder {splits[0]!r}; give the folder of one split, such as "
            f"{folder / splits[0]}, as the dataset, and that of another as the test folder, or none"
        )
    return keys


def check_apart(folder: Path, test: Path) -> None:
    """Raise `ArgumentError` if the dataset and the test folder are the same, or one lies inside the other."""
    own, other = folder.resolve(), test.resolve()
    if own == other:
        raise ArgumentError(
            f"dataset and test folder are both {folder}; give another test folder, or none: a study without it tests "
            "on the pictures of the dataset that it does not train on"
        )
    if other.is_relative_to(own) or own.is_relative_to(other):
        inner, outer = ("test folder", "dataset") if other.is_relative_to(own) else ("dataset", "test folder")
        raise ArgumentError(
            f"the {inner} lies inside the {outer} ({test} and {folder}), so that its pictures would be in both; give "
            "two folders side by side, such as faces/train and faces/val"
        )


def find_same(folder: Path, keys: Sequence[str], test: Path, test_keys: Sequence[str]) -> dict[str, str]:
    """Find the pictures of a test folder that are also in the dataset, byte for byte.

    Args:
        folder: dataset folder.
        keys: keys of its pictures.
        test: test folder.
        test_keys: keys of its pictures.

    Returns:
        Key in the dataset of each such picture by its key in the test folder. Only files of equal sizes are read.
    """
    sizes, test_sizes = ({key: file_size(at / key) for key in of} for at, of in ((folder, keys), (test, test_keys)))
    common = set(sizes.values()) & set(test_sizes.values())
    own = {_digest(folder / key): key for key, size in sizes.items() if size in common}
    found = {key: _digest(test / key) for key, size in test_sizes.items() if size in common}
    return {key: own[digest] for key, digest in found.items() if digest and digest in own}


def _digest(path: Path) -> bytes:
    """Return the sha256 of the bytes of a file; empty if it cannot be read."""
    try:
        return hashlib.sha256(read_regular(path, PICTURE)).digest()
    except OSError:
        return b""


def some(names: Sequence[str]) -> str:
    """Name the first five, and count the others.

    >>> some(["a", "b"]), some("abcdefg")
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def digest_pictures(folder: Path, keys: Sequence[str]) -> str:
    """Return the sha256 of the keys and sizes of the pictures, to detect changes of a dataset."""
    return digest_sizes((key, file_size(folder / key)) for key in keys)


class Labelled(NamedTuple):
    """One folder: the labels of its pictures by key, the (key, reason) of those that are left out, and caveats."""

    folder: Path
    found: dict[str, FaceLabels]
    skipped: list[tuple[str, str]]
    notes: tuple[str, ...] = ()


def in_classes(folder: Path, keys: Sequence[str], *, least: int) -> Labelled:
    """Keep the pictures in class folders.

    Args:
        folder: folder of the class folders.
        keys: keys of the pictures.
        least: smallest number of classes.

    Raises:
        ArgumentError: there are fewer classes.
    """
    inside = {key: FaceLabels() for key in keys if "/" in key}
    if len({class_of(key) for key in inside}) < least:
        raise ArgumentError(
            f"{folder} needs a folder for each class, {'two or more' if least > 1 else 'as the dataset has'}; "
            f"{len(inside)} of its {len(keys)} pictures are in folders. Give the folder that holds the class folders"
        )
    return Labelled(folder, inside, [(key, "is in no class folder") for key in keys if key not in inside])


def annotated(
    folder: Path, keys: Sequence[str], annotations: str | None, form: str | None, *, number: int = 0
) -> Labelled:
    """Keep the pictures with landmarks.

    Args:
        folder: folder of the pictures.
        keys: keys of the pictures.
        annotations: file or folder of the landmarks.
        form: name of the format; None recognises it by the path.
        number: number of landmarks of a picture; 0 takes the commonest.

    Raises:
        LabelError: the annotations cannot be read, or are for no picture.
    """
    assert annotations is not None
    read = read_annotations(annotations, folder, format=form)
    counts = {key: 0 if (xy := read[key].points) is None else len(xy) for key in keys if key in read}
    counts |= {key: 0 for key in counts if (seen := read[key].visible) is not None and not seen.any()}
    usual = Counter(count for count in counts.values() if count).most_common(1)
    if not usual:
        raise LabelError(
            f"{annotations} has landmarks for no picture of {folder}; its names must be paths below that folder"
            + (" or beside the file. Landmarks in another place can be given as test_annotations" if number else "")
        )
    number = number or usual[0][0]
    skipped = [(key, "has no annotation") for key in keys if key not in counts]
    skipped += [
        (key, f"has {n} landmarks that can be seen, not {number}" if not n else f"has {n} landmarks, not {number}")
        for key, n in counts.items()
        if n != number
    ]
    found = {key: read[key] for key, n in counts.items() if n == number}
    if not found:
        raise LabelError(f"the pictures of {folder} have {usual[0][0]} landmarks, and those of the dataset {number}")
    return Labelled(folder, found, skipped)


def with_landmarks(part: Labelled, annotations: str | None, form: str | None) -> Labelled:
    """Add landmarks to the pictures in class folders, and leave out those without; None adds nothing."""
    if annotations is None:
        return part
    return narrowed(part, annotated(part.folder, list(part.found), annotations, form))


def narrowed(part: Labelled, marked: Labelled) -> Labelled:
    """Return the pictures of a folder that have landmarks; those that are left out of either keep their reasons."""
    return marked._replace(skipped=part.skipped + marked.skipped)


def check_names(own: set[str], tested: set[str], folder: Path, test: Path) -> None:
    """Raise `ArgumentError` if a test folder has a class that the dataset does not have."""
    if strange := sorted(tested - own):
        raise ArgumentError(
            f"test folder {test} has classes that dataset {folder} does not have: {some(strange)}"
            f"{did_you_mean(strange[0], own) or '.'} The dataset has {some(sorted(own))}. Give the class folders the "
            "same names, add training pictures of these classes, or leave the classes out of the test folder"
        )


def class_of(key: str) -> str:
    """Return the name of the class folder of a picture; a picture outside of folders is a class of its own."""
    return PurePosixPath(key).parts[0]


def error_scale(points: Tensor, normaliser: str) -> Tensor:
    """Return the lengths (N,) that the errors of landmarks (N, P, 2) are divided by.

    They are the distances of two landmarks, or the geometric means of the sides of the landmarks' boxes.
    """
    count = points.shape[1]
    pair = _EYES.get(count) if normaliser == "auto" else None
    if "," in normaliser:
        first, second = (int(number) for number in normaliser.split(","))
        if max(first, second) >= count:
            raise ArgumentError(f"normaliser {normaliser!r} names a landmark beyond the last, which is {count - 1}")
        pair = first, second
    if pair is not None:
        length: Tensor = (points[:, pair[0]] - points[:, pair[1]]).norm(dim=1)
    else:
        length = (points.amax(1) - points.amin(1)).prod(1).sqrt()
    if not bool((length > 0).all()):
        raise ArgumentError("a picture has no distance to divide its errors by; give another normaliser, such as box")
    return length


def number_people(own: Sequence[str], tested: Sequence[str] = (), *, plan: StudyPlan) -> NDArray[np.int64]:
    """Number the people by the pattern or the class folder; a picture outside of folders is a person of its own.

    The classes of recognition are people in both folders. In other tasks, nobody may be in both; without a pattern,
    equal names of folders say nothing about people, and count as different people.

    Args:
        own: keys of the pictures of the dataset.
        tested: keys of the pictures of the test folder.
        plan: settings of the study.
    """
    pattern = plan.group_pattern
    names, others = ([class_of(k) if pattern is None else _person(k, pattern) for k in keys] for keys in (own, tested))
    if pattern is not None and (both := sorted({*names} & {*others})):
        raise ArgumentError(
            f"by group_pattern {pattern!r}, these people are in both the dataset and the test folder: {some(both)}; "
            f"task {plan.task!r} tests on people who are not trained on. Leave them out of one folder, or rename the "
            "pictures of different people who have the same name"
        )
    if plan.task != "recognition" and pattern is None:
        others = [f"/{name}" for name in others]
    numbers: NDArray[Any] = np.unique([*names, *others], return_inverse=True)[1]
    return numbers.astype(np.int64)


def _person(key: str, pattern: str) -> str:
    match = re.search(pattern, key)
    if match is None or match[1] is None:
        raise ArgumentError(f"group_pattern {pattern!r} finds no person in {key!r}; it is searched in such paths")
    return match[1]

"""What class the copies of a source belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, LabelError
from fomaug.expand.names import check_label
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import SourceFile


def parse_labels(text: str) -> str | dict[str, str]:
    """Read the option: one of the words, or OLD=NEW pairs with commas between.

    >>> parse_labels("keep"), parse_labels("*=fake"), parse_labels("glad=happy,*=other")
    ('keep', {'*': 'fake'}, {'glad': 'happy', '*': 'other'})
    """
    if "=" not in text:
        return text
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(old.strip() and equals for old, equals, _ in pairs):
        raise ArgumentError(f"labels must be OLD=NEW pairs with commas between, got {text!r}")
    return {old.strip(): new.strip() for old, _, new in pairs}


def copy_label(
    policy: str | Mapping[str, str], source_label: str, clip_label: str | None, *, still: bool = False
) -> str:
    """Decide on the label of one copy; empty for none. A `still` one is its source, and is called no other name."""
    if policy == "drop":
        return ""
    if policy == "keep" or still:
        return source_label
    if policy == "from_clip":
        if not clip_label:
            raise LabelError("the clip has no label")
        return check_label(clip_label)
    assert not isinstance(policy, str)
    return check_label(policy.get(source_label, policy.get("*", source_label)))


def check_policy(plan: ExpandPlan, sources: Iterable[SourceFile], pool: DrivingPool) -> None:
    """Raise before any work where the policy cannot be followed for every copy."""
    if plan.labels == "from_clip":
        nameless = [track.name for track in pool.tracks if not track.label]
        if nameless:
            raise LabelError(
                f"labels='from_clip', but {len(nameless)} of {len(pool)} driving clips have no label "
                f"({', '.join(nameless[:3])}); give clip_labels, a CSV file with columns clip,label"
            )
        for label in {track.label for track in pool.tracks}:
            check_label(label or "")
    elif not isinstance(plan.labels, str):
        _check_mapping(plan.labels, {source.label for source in sources})


def _check_mapping(mapping: Mapping[str, str], labels: set[str]) -> None:
    if "*" not in mapping and (missing := sorted(labels - set(mapping))):
        raise LabelError(
            f"labels maps {', '.join(sorted(mapping))}, but the dataset also has {', '.join(missing)}; "
            "map them, too, or all others by '*'"
        )
    if unknown := sorted(set(mapping) - labels - {"*"}):
        raise LabelError(f"labels maps {', '.join(unknown)}, but the dataset has {', '.join(sorted(labels)) or 'none'}")
    for new in mapping.values():
        check_label(new)


def list_classes(plan: ExpandPlan, sources: Iterable[SourceFile], pool: DrivingPool) -> tuple[str, ...]:
    """List the labels that copies can have, sorted; archives number them."""
    own = {source.label for source in sources}
    if plan.labels == "from_clip":
        labels = {track.label or "" for track in pool.tracks}
    else:
        labels = {copy_label(plan.labels, label, None) for label in own}
    if plan.faces != "frame" and plan.on_missing == "copy":
        labels |= {copy_label(plan.labels, label, None, still=True) for label in own}
    return tuple(sorted(labels - {""}))

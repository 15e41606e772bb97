from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fomaug import Animator, DrivingPool, MotionAugment
from fomaug.expand.copies import Verdict, make_copies
from fomaug.expand.sources import Loaded, SourceFile, SourceJob
from fomaug.media import Picture


@pytest.fixture
def augment(tiny_model: Animator, tiny_pool: DrivingPool) -> MotionAugment:
    return MotionAugment(tiny_pool, tiny_model, p=1.0)


@pytest.fixture
def sources(face: Callable[..., np.ndarray]) -> list[Loaded]:
    jobs = [
        SourceJob(SourceFile(Path(key), key), key, copies) for key, copies in (("a.png", 3), ("b.png", 2), ("c.png", 3))
    ]
    return [Loaded(job, Picture(face(i))) for i, job in enumerate(jobs)]


def refuse_first(times: int) -> Callable[[Sequence[Picture], Sequence[Sequence[object]]], list[list[Verdict]]]:
    seen: dict[int, int] = {}

    def verdicts(picture: Picture, copies: Sequence[object]) -> list[Verdict]:
        seen[id(picture)] = seen.get(id(picture), 0) + 1
        bad = seen[id(picture)] <= times
        return [Verdict(("ugly",) if bad and row == 0 else (), {"beauty": 0.5}) for row in range(len(copies))]

    return lambda pictures, copies: [verdicts(*pair) for pair in zip(pictures, copies, strict=True)]


def test_without_gates_every_copy_is_its_first_draw(augment: MotionAugment, sources: list[Loaded]) -> None:
    made = make_copies(augment, sources, None, tries=3, batch_size=4)
    assert [[outcome.copy for outcome in outcomes] for outcomes in made] == [[0, 1, 2], [0, 1], [0, 1, 2]]
    assert {outcome.attempt for outcomes in made for outcome in outcomes} == {0}
    for source, outcomes in zip(sources, made, strict=True):
        draws = augment.draw([source.job.source.key], copies=source.job.copies)
        assert [outcome.moved.params.frame for outcome in outcomes] == [param.frame for param in draws]


def test_only_rejected_copies_are_drawn_again(augment: MotionAugment, sources: list[Loaded]) -> None:
    plain = make_copies(augment, sources, None, tries=3, batch_size=4)
    made = make_copies(augment, sources, refuse_first(1), tries=3, batch_size=4)
    for before, after in zip(plain, made, strict=True):
        assert [outcome.attempt for outcome in after] == [1] + [0] * (len(after) - 1)
        assert after[0].moved.params.key == f"{before[0].moved.params.key}#1"
        assert after[0].moved.params.copy == 0
        assert [outcome.moved.params for outcome in after[1:]] == [outcome.moved.params for outcome in before[1:]]


def test_after_all_tries_a_copy_is_given_up_with_its_reasons(augment: MotionAugment, sources: list[Loaded]) -> None:
    made = make_copies(augment, sources, refuse_first(9), tries=2, batch_size=4)
    for outcomes in made:
        assert outcomes[0].verdict == Verdict(("ugly",), {"beauty": 0.5})
        assert outcomes[0].attempt == 1
        assert all(not outcome.verdict.reasons for outcome in outcomes[1:])

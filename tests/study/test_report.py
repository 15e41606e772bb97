from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fomaug.study import Estimate, StudyResult
from fomaug.study.arms import Arm
from fomaug.study.data import StudyData
from fomaug.study.design import Split
from fomaug.study.plan import StudyPlan
from fomaug.study.report import decide, draw_chart, summarise, tick_step
from fomaug.study.runs import RunId, RunLog, RunResult


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (0.001, 0.2, "yes"),
        (0.001, 0.005, "yes"),
        (-0.2, -0.001, "harm"),
        (-0.2, 0.009, "no"),
        (0.0, 0.0, "no"),
        (-0.2, 0.01, "unknown"),
        (-0.01, 0.2, "unknown"),
        (0.0, 0.2, "unknown"),
    ],
)
def test_the_answer_follows_the_rule(low: float, high: float, answer: str) -> None:
    assert decide(Estimate((low + high) / 2, low, high, 0.01, 5), worth=0.01) == answer


def scored(
    tmp_path: Path,
    gain: float,
    *,
    task: str = "recognition",
    people: int = 12,
    train: float = 1.0,
    score: float = 0.5,
) -> StudyResult:
    """A study whose copies change every score of the classic arm by much the same."""
    count = people * 2
    faces = StudyData(
        tmp_path, tuple(f"{i:03}" for i in range(count)), torch.zeros(count, 1, 2, 2, dtype=torch.uint8),
        np.arange(count) // 2, np.arange(count) // 2, tuple(map(str, range(people))), None, None, None,
        (None,) * count, (("broken.png", "is damaged"),),
    )  # fmt: skip
    values = {"annotations": "a.csv"} if task == "landmarks" else {}
    plan = StudyPlan(task=task, choices=4, seeds=2, **values)  # type: ignore[arg-type]
    splits = [Split(np.arange(2), np.arange(2, count)) for _ in range(4)]
    log = RunLog(tmp_path / f"{gain}{task}{score}", {})
    rng = np.random.default_rng(0)
    for name, shift in (("none", -0.1), ("classic", 0.0), ("copies", gain)):
        for choice, seed in np.ndindex(4, 2):
            row = {key: score + shift + float(rng.normal(0, 1e-3)) for key in faces.keys[2:]}
            log.add(RunId(name, choice, seed), RunResult(row, train, 32, 1))
    arms = [Arm("none"), Arm("classic"), replace(Arm("copies"), augment=object())]  # type: ignore[arg-type]
    return summarise(plan, faces, splits, arms, log, {})


def test_scores_and_gains_are_those_of_the_runs(tmp_path: Path) -> None:
    none, classic, copies = scored(tmp_path, 0.05).arms
    assert (none.score, classic.score, copies.score) == pytest.approx((0.4, 0.5, 0.55), abs=1e-3)
    assert none.gain is not None and copies.gain is not None
    assert (none.gain.mean, copies.gain.mean) == pytest.approx((-0.1, 0.05), abs=1e-3)
    assert classic.gain is None and classic.answer is None and none.answer is None
    assert (copies.answer, copies.copies, copies.rejected) == ("yes", 32, 1)


def test_less_error_is_a_gain(tmp_path: Path) -> None:
    result = scored(tmp_path, -0.05, task="landmarks")
    assert result.arms[2].gain is not None and result.arms[2].gain.mean == pytest.approx(0.05, abs=1e-3)
    assert result.verdict.startswith("Yes: classic + copies helps")
    assert scored(tmp_path, 0.05, task="landmarks").arms[2].answer == "harm"


def test_a_ceiling_is_noted_because_no_gain_can_be_measured_below_it(tmp_path: Path) -> None:
    (note,) = scored(tmp_path, 0.005, score=0.995).notes
    assert "of the test pictures, so a gain of 0.01 is impossible" in note and "--test" in note
    assert not scored(tmp_path, 0.0, score=0.98).notes
    assert not scored(tmp_path, 0.0, score=0.995, task="landmarks").notes


def test_networks_that_have_not_learned_are_noted(tmp_path: Path) -> None:
    assert "give more steps" in " ".join(scored(tmp_path, 0.05, train=0.5).notes)
    assert not scored(tmp_path, 0.06).notes


def test_the_result_is_plain_json_and_the_table_names_every_arm(tmp_path: Path) -> None:
    result = scored(tmp_path, 0.05)
    assert json.loads(json.dumps(result.to_dict()))["skipped"] == [["broken.png", "is damaged"]]
    lines = result.table().splitlines()
    assert [line.split("  ")[0] for line in lines[:4]] == ["arm", "none", "classic", "classic + copies"]
    assert lines[-1] == result.verdict


def test_the_chart_shows_every_interval_where_it_is(tmp_path: Path) -> None:
    result = scored(tmp_path, 0.05)
    named = replace(result.arms[2], title="classic + <a & b> of a name that is far too long for a chart")
    root = ElementTree.fromstring(draw_chart(replace(result, arms=(*result.arms[:2], named))))
    space = "{http://www.w3.org/2000/svg}"
    none, copies = (float(circle.get("cx", "nan")) for circle in root.findall(f"{space}circle"))
    zero = next(
        float(line.get("x1", "nan")) for line in root.findall(f"{space}line") if line.get("stroke") == "#24292f"
    )
    assert none < zero < copies
    assert (zero - none) / (copies - zero) == pytest.approx(2, rel=0.05)  # 0.1 and 0.05
    assert all(0 <= float(line.get("x1", "-1")) <= 720 for line in root.findall(f"{space}line"))
    words = [text.text or "" for text in root.findall(f"{space}text")]
    assert any(word.startswith("none (0.4") for word in words) and all(len(word) < 110 for word in words)


@pytest.mark.parametrize(("extent", "step"), [(1.0, 0.2), (0.09, 0.02), (0.11, 0.05), (7.0, 2.0), (0.0, 0.01)])
def test_ticks_are_round_and_few(extent: float, step: float) -> None:
    assert tick_step(extent) == pytest.approx(step)

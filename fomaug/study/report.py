"""The result of a study: scores, gains with intervals and a verdict, as values, as text and as a chart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from textwrap import shorten, wrap
from typing import Any, Literal

import numpy as np

from fomaug.study.arms import CLASSIC, NONE, Arm
from fomaug.study.data import StudyData
from fomaug.study.design import Estimate, Split, Values, caveats, estimate
from fomaug.study.faces import FaceCheck, warnings_of
from fomaug.study.plan import StudyPlan
from fomaug.study.runs import RunId, RunLog

Answer = Literal["yes", "no", "harm", "unknown"]

_UNLEARNED = 0.9  # Accuracy on the training pictures; networks below it needed more steps.


@dataclass(frozen=True)
class ArmResult:
    """The result of one arm.

    Attributes:
        name: name of the arm.
        title: name of the arm in the table.
        score: mean accuracy or normalised error over runs and test pictures.
        train: mean accuracy or normalised error on the training pictures, without augmentation.
        gain: paired improvement over classic augmentation; positive is better. None for the classic arm.
        level: level of the gain's interval: 0.95, or more if several arms with copies are compared.
        answer: answer whether the copies helped; None for arms without copies.
        copies: mean number of copies of one choice of training pictures.
        rejected: mean number of copies that the gates rejected.
        driving: pool that drives the copies; None for arms without copies.
    """

    name: str
    title: str
    score: float
    train: float
    gain: Estimate | None
    level: float
    answer: Answer | None
    copies: float
    rejected: float
    driving: str | None


@dataclass(frozen=True)
class StudyResult:
    """A finished study.

    Attributes:
        task: recognition, landmarks or expression.
        measure: name of the score: accuracy or error.
        arms: results of none, classic and the arms with copies, in this order.
        verdict: one sentence for each arm with copies.
        notes: caveats for the verdict.
        facts: sizes of the study by name.
        skipped: (key, reason) of each picture that could not be used; keys of the test folder begin with its name.
        settings: settings and hashes that determine the results.
        test: name of the test folder; None for tests on other pictures of the dataset.
        faces: numbers of examined training pictures, and of those without a face; None if they were not examined.
    """

    task: str
    measure: str
    arms: tuple[ArmResult, ...]
    verdict: str
    notes: tuple[str, ...]
    facts: dict[str, Any]
    skipped: tuple[tuple[str, str], ...]
    settings: dict[str, Any]
    test: str | None = None
    faces: dict[str, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        return asdict(self)

    def table(self) -> str:
        """Format scores, gains, notes and verdict as text."""
        width = max(len("arm"), *(len(arm.title) for arm in self.arms))
        lines = [f"{'arm':{width}}  {self.measure:>10}  {'gain over classic':>17}  interval"]
        lines += [_line(arm, width) for arm in self.arms]
        facts = ", ".join(f"{value} {name}" for name, value in self.facts.items())
        driven = [f"{arm.title}: driven by {arm.driving}" for arm in self.arms if arm.driving is not None]
        return "\n".join([*lines, *driven, facts, *(f"note: {note}" for note in self.notes), self.verdict])


def summarise(
    plan: StudyPlan,
    data: StudyData,
    splits: Sequence[Split],
    arms: Sequence[Arm],
    log: RunLog,
    settings: dict[str, Any],
    faces: FaceCheck | None = None,
) -> StudyResult:
    """Turn finished runs into scores, gains and a verdict.

    Args:
        plan: settings of the study.
        data: dataset of the study.
        splits: all choices of training pictures.
        arms: all arms.
        log: finished runs, of each arm, choice and seed.
        settings: settings and hashes that determine the results.
        faces: result of the search for faces in the training pictures.
    """
    level = 1 - 0.05 / sum(arm.augment is not None for arm in arms)
    results = tuple(_result(arm, plan, data, splits, log, level) for arm in arms)
    classic = next(result for result in results if result.name == CLASSIC)
    return StudyResult(
        task=plan.task,
        measure="error" if plan.task == "landmarks" else "accuracy",
        arms=results,
        verdict="\n".join(_sentence(result, plan, data.test_name) for result in results if result.answer),
        notes=(
            *warnings_of(faces, {arm.name: (arm.copies, arm.rejected) for arm in results}),
            *_notes(plan, data, splits, classic),
        ),
        facts=_facts(plan, data, splits, results),
        skipped=data.skipped,
        settings=settings,
        test=data.test_name,
        faces=None if faces is None else faces._asdict(),
    )


def decide(gain: Estimate, worth: float) -> Answer:
    """Answer whether copies help.

    Args:
        gain: gain over classic augmentation; positive is better.
        worth: smallest gain that matters.

    Returns:
        "yes" for an interval above 0, "harm" for one below 0, "no" for one around 0 that ends below `worth`; "unknown"
        for any other.
    """
    if gain.low > 0:
        return "yes"
    if gain.high < 0:
        return "harm"
    return "no" if gain.high < worth else "unknown"


def _result(
    arm: Arm, plan: StudyPlan, data: StudyData, splits: Sequence[Split], log: RunLog, level: float
) -> ArmResult:
    values, classic = (_values(name, plan, data, splits, log) for name in (arm.name, CLASSIC))
    runs = [result for run, result in log.done.items() if run.arm == arm.name]
    better = -1.0 if plan.task == "landmarks" else 1.0
    gain = None
    own_level = level if arm.augment is not None else 0.95
    if arm.name != CLASSIC:
        differences = [better * (own - other) for own, other in zip(values, classic, strict=True)]
        gain = estimate(differences, [data.people[split.test] for split in splits], level=own_level)
    return ArmResult(
        name=arm.name,
        title=arm.title,
        score=float(np.concatenate(values).mean()),
        train=float(np.mean([result.train for result in runs])),
        gain=gain,
        level=own_level,
        answer=decide(gain, plan.smallest_gain) if gain is not None and arm.name != NONE else None,
        copies=float(np.mean([result.copies for result in runs])),
        rejected=float(np.mean([result.rejected for result in runs])),
        driving=arm.driving,
    )


def _values(name: str, plan: StudyPlan, data: StudyData, splits: Sequence[Split], log: RunLog) -> list[Values]:
    """Return the scores of each choice's test pictures, averaged over the seeds."""
    found = []
    for choice, split in enumerate(splits):
        runs = [log.done[RunId(name, choice, seed)].scores for seed in range(plan.seeds)]
        found.append(np.array([[scores[data.keys[row]] for row in split.test] for scores in runs]).mean(0))
    return found


def _sentence(result: ArmResult, plan: StudyPlan, test: str | None) -> str:
    assert result.gain is not None
    where = "" if test is None else f" on the pictures of {test}"
    ends = f"{result.gain.low:+.4f} and {result.gain.high:+.4f}"
    interval, name = f"the gain over classic augmentation{where} is between {ends}", result.title
    if result.answer == "yes":
        return f"Yes: {name} helps; {interval}."
    if result.answer == "harm":
        return f"No: {name} hurts; {interval}."
    if result.answer == "no":
        return f"No: {name} brings no gain of {plan.smallest_gain:g} or more; {interval}."
    return f"Not known with so few pictures: {name} may help or not; {interval}."


def _notes(plan: StudyPlan, data: StudyData, splits: Sequence[Split], classic: ArmResult) -> list[str]:
    notes = []
    if plan.task != "landmarks" and classic.train < _UNLEARNED:
        notes.append(
            f"the classic arm recognises only {classic.train:.2f} of its own training pictures; give more steps before "
            "you rely on the verdict"
        )
    if plan.task != "landmarks" and 1 - classic.score < plan.smallest_gain:
        impossible = f"a gain of {plan.smallest_gain:g} is impossible; give harder tests, for example with --test"
        notes.append(f"the classic arm recognises {classic.score:.4f} of the test pictures, so {impossible}")
    return [*notes, *data.notes, *caveats(data, plan, splits)]


def _facts(plan: StudyPlan, data: StudyData, splits: Sequence[Split], results: Sequence[ArmResult]) -> dict[str, Any]:
    trained = sorted({len(split.train) for split in splits})
    tests = {"test pictures": data.num_test, "tested people": len(np.unique(data.people[data.num_own :]))}
    return {
        "pictures": data.num_own,
        "people": len(np.unique(data.people[: data.num_own])),
        "training pictures": trained[0] if len(trained) == 1 else f"{trained[0]} to {trained[-1]}",
        **(tests if data.num_test else {}),
        "choices": len(splits),
        "seeds": plan.seeds,
        "runs": len(results) * len(splits) * plan.seeds,
    }


def _line(arm: ArmResult, width: int) -> str:
    line = f"{arm.title:{width}}  {arm.score:10.4f}"
    if arm.gain is None:
        return line
    return f"{line}  {arm.gain.mean:+17.4f}  [{arm.gain.low:+.4f}, {arm.gain.high:+.4f}] at {100 * arm.level:.4g} %"


_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 720, 220, 30, 44, 64
_COLOURS = {"yes": "#1a7f37", "harm": "#b42318", "no": "#57606a", "unknown": "#9a6700", None: "#8c959f"}


def draw_chart(result: StudyResult) -> str:
    """Draw the gain of every arm over classic augmentation with its interval, as the text of an SVG file."""
    rows = [arm for arm in result.arms if arm.gain is not None]
    ends = [end for arm in rows if arm.gain for end in (arm.gain.low, arm.gain.high, 0.0)]
    step = tick_step(max(ends) - min(ends))
    low, high = math.floor(min(ends) / step - 0.25) * step, math.ceil(max(ends) / step + 0.25) * step
    bottom = _TOP + _ROW * len(rows)

    def to_x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    ticks = [low + step * i for i in range(round((high - low) / step) + 1)]
    parts = [_text(12, 24, f"{result.task}: gain in {result.measure} over classic augmentation", size=15)]
    parts += [_tick(to_x(value), value, bottom) for value in ticks]
    zero = to_x(0.0)
    parts.append(f'<line x1="{zero:.1f}" y1="{_TOP - 8}" x2="{zero:.1f}" y2="{bottom}" stroke="#24292f"/>')
    for number, arm in enumerate(rows):
        parts += _bar(arm, _TOP + _ROW * number + _ROW / 2, to_x)
    lines = [part for sentence in result.verdict.splitlines() for part in wrap(sentence, 100)]
    parts += [_text(12, bottom + 48 + 18 * i, line, size=12) for i, line in enumerate(lines)]
    height = bottom + 48 + 18 * len(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def tick_step(extent: float) -> float:
    """Return a round distance of ticks, 1, 2 or 5 times a power of ten, with at most five in the extent.

    >>> tick_step(0.09), tick_step(0.0)
    (0.02, 0.01)
    """
    if extent <= 0:
        return 0.01
    power = 10.0 ** math.floor(math.log10(extent / 5))
    return next(factor * power for factor in (1, 2, 5, 10) if extent / (factor * power) <= 5)


def _bar(arm: ArmResult, y: float, to_x: Callable[[float], float]) -> list[str]:
    assert arm.gain is not None
    colour = _COLOURS[arm.answer]
    low, mean, high = to_x(arm.gain.low), to_x(arm.gain.mean), to_x(arm.gain.high)
    score = f"{shorten(arm.title, 22, placeholder='...')} ({arm.score:.3f})"
    return [
        _text(12, y + 4, score, size=13),
        f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" stroke-width="4"/>',
        f'<circle cx="{mean:.1f}" cy="{y}" r="6" fill="{colour}"/>',
    ]


def _tick(x: float, value: float, bottom: float) -> str:
    line = f'<line x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="#d8dee4"/>'
    return line + _text(x, bottom + 18, f"{value:+.3g}" if abs(value) > 1e-12 else "0", size=11, anchor="middle")


def _text(x: float, y: float, words: str, *, size: int, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'

"""Run all studies of a file, and write one table of their gains with intervals.

    python benchmarks/downstream/run.py benchmarks/downstream/small.json OUT \\
        --set people=FOLDER --set orl=FOLDER --set landmarks=FOLDER

The file describes the studies. Each has a dataset (`{people}` is the folder that --set gives for people), arms, and
other arguments of `fomaug.study`, such as `"test": "{val}"` for tests on the pictures of another set. A study whose
sets are not given is left out and named. Each study has a folder in
OUT; OUT/downstream.md is the table, and OUT/downstream.json has all results. If the command is interrupted, run it
again to continue.

For your own pictures, write a file of such studies, or give your folders as the sets. `people` is the output of
`render_people.py`, `orl` has a folder for each person, and `landmarks` has a folder `images` and a table
`landmarks.csv`.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fomaug
from fomaug.files import write_file
from fomaug.imports import named_callable
from fomaug.study import ArmResult, StudyResult

ROW = "| {study} | {arm} | {score:.4f} | {gain} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, help="JSON file of studies by name")
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--only", help="regular expression of the names of the studies to run")
    args = parser.parse_args()
    sets = dict(text.split("=", 1) for text in args.sets)
    studies = json.loads(args.studies.read_text())
    results = {}
    for name, options in studies.items():
        if args.only and not re.search(args.only, name):
            continue
        if missing := sorted(names_in(options) - sets.keys()):
            print(f"{name}: left out, since --set {' and '.join(missing)} is not given", flush=True)
            continue
        results[name] = run(args.out / name, filled(options, sets))
        print(f"{name}\n{results[name].table()}\n", flush=True)
        write(args.out, results)


def names_in(value: Any) -> set[str]:
    """Return the names of the sets that a study needs."""
    return set(re.findall(r"\{(\w+)\}", json.dumps(value)))


def filled(value: Any, sets: Mapping[str, str]) -> Any:
    """Put the folders of the sets into the options of a study."""
    if isinstance(value, dict):
        return {name: filled(part, sets) for name, part in value.items()}
    return re.sub(r"\{(\w+)\}", lambda match: sets[match[1]], value) if isinstance(value, str) else value


def run(out: Path, options: Mapping[str, Any]) -> StudyResult:
    """Run or resume a study."""
    values = dict(options)
    embed = values.pop("embed", None)
    return fomaug.study(
        values.pop("dataset"),
        out,
        embed=named_callable(embed) if embed else None,
        announce=lambda line: print(f"{out.name}: {line}", flush=True),
        **values,
    )


def write(out: Path, results: Mapping[str, StudyResult]) -> None:
    """Write the table and the results of all studies."""
    lines = ["| study | arm | score | gain over classic, interval |", "| --- | --- | --- | --- |"]
    lines += [row(name, arm, result) for name, result in results.items() for arm in result.arms]
    write_file(out / "downstream.md", ("\n".join(lines) + "\n").encode())
    values = {name: result.to_dict() for name, result in results.items()}
    write_file(out / "downstream.json", (json.dumps(values, indent=2) + "\n").encode())


def row(name: str, arm: ArmResult, result: StudyResult) -> str:
    """Format one line of the table; accuracies in points, and landmark errors in parts of the classic arm's error."""
    if arm.gain is None:
        return ROW.format(study=name, arm=arm.title, score=arm.score, gain="")
    classic = next(other.score for other in result.arms if other.name == "classic")
    unit, sign = (100 / classic, " %") if result.measure == "error" else (100, " points")
    mean, low, high = (f"{unit * value:+.1f}" for value in (arm.gain.mean, arm.gain.low, arm.gain.high))
    gain = f"{mean}{sign}, [{low}, {high}] at {100 * arm.level:.4g} %"
    return ROW.format(study=name, arm=arm.title, score=arm.score, gain=gain)


if __name__ == "__main__":
    main()

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fomaug import Animator, DrivingPool, MotionAugment
from fomaug.errors import ArgumentError
from fomaug.expand import expand, parse_gates, summarise
from fomaug.expand.copies import move
from fomaug.expand.gates import make_judge, read_gates
from fomaug.media import Picture
from fomaug.quality import Gates, score

OPEN = dict.fromkeys(Gates().to_dict())


def test_words_and_thresholds_become_gates() -> None:
    assert read_gates("on") == Gates()
    assert read_gates("off") is None
    assert read_gates(parse_gates("max_folded=0.5,max_residual=none")) == Gates(max_folded=0.5, max_residual=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("maybe", "on, off or thresholds"),
        ("max_floded=1", "did you mean 'max_folded'"),
        ("max_folded=x", "NAME=THRESH"),
    ],
)
def test_other_words_are_refused(text: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        read_gates(parse_gates(text))


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 3), (np.uint8, 1)])
def test_scores_are_those_of_the_pictures(
    tiny_model: Animator, tiny_pool: DrivingPool, face: Callable[..., np.ndarray], dtype: type, channels: int
) -> None:
    pixels = face(0, 48, 48, channels, dtype)
    picture = Picture(pixels if pixels.ndim == 3 else pixels[..., None])
    augment = MotionAugment(tiny_pool, tiny_model, p=1.0)
    copies = move(augment, [picture], [augment.draw(["a"], copies=3)], batch_size=3)[0]
    judge = make_judge(Gates.from_dict(OPEN), tiny_model)
    assert judge is not None

    def unit(picture: Picture) -> torch.Tensor:
        array = picture.pixels.astype(np.float32) / np.iinfo(dtype).max
        return torch.from_numpy(array).permute(2, 0, 1)[None].repeat(1, 3 // channels, 1, 1)

    for verdict, moved in zip(judge([picture], [copies])[0], copies, strict=True):
        wanted = score(tiny_model, unit(picture), unit(moved.picture), moved.flow, moved.occlusion)[0].to_dict()
        assert verdict.reasons == ()
        assert verdict.scores == pytest.approx({k: v for k, v in wanted.items() if v is not None}, abs=1e-3)


def test_copies_of_several_sources_are_judged_like_those_of_each(
    tiny_model: Animator, tiny_pool: DrivingPool, face: Callable[..., np.ndarray]
) -> None:
    pictures = [Picture(face(seed, *size)) for seed, size in enumerate(((64, 64), (48, 48), (64, 64), (64, 64)))]
    augment = MotionAugment(tiny_pool, tiny_model, p=1.0)
    counts = (2, 2, 2, 1)
    draws = [augment.draw([str(row)], copies=count) for row, count in enumerate(counts)]
    copies = move(augment, pictures, draws, batch_size=4)
    judge = make_judge(Gates(max_keypoint_error=None), tiny_model)
    assert judge is not None
    together = judge(pictures, copies)
    assert [len(verdicts) for verdicts in together] == list(counts)
    for picture, own, verdicts in zip(pictures, copies, together, strict=True):
        for alone, verdict in zip(judge([picture], [own])[0], verdicts, strict=True):
            assert verdict.reasons == alone.reasons
            assert verdict.scores == pytest.approx(alone.scores, abs=1e-4)
    assert [verdict.scores["motion"] for verdicts in together for verdict in verdicts] != [0.0] * 7


def test_a_source_is_not_searched_for_keypoints_again(
    tiny_model: Animator, tiny_pool: DrivingPool, face: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    augment = MotionAugment(tiny_pool, tiny_model, p=1.0)
    picture = Picture(face(0, 48, 48))
    copies = move(augment, [picture], [augment.draw(["a"], copies=3)], batch_size=3)
    detect, seen = tiny_model.detect, []
    monkeypatch.setattr(tiny_model, "detect", lambda frames: seen.append(len(frames)) or detect(frames))
    judge = make_judge(Gates(), tiny_model)
    assert judge is not None
    judge([picture], copies)
    assert seen == [3], "only the copies are searched"


def test_rejected_copies_are_recorded_and_not_written(
    tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path
) -> None:
    gates = {**OPEN, "min_motion": 99.0}
    report = expand(
        faces, tmp_path / "out", driving=tiny_pool, model=tiny_model, copies=2, gates=gates, tries=2
    )  # fmt: skip
    assert (report.written, report.rejected, report.planned) == (0, 10, 10)
    assert report.contact_sheet is None
    assert report.complete, "a refused copy is no failure"
    rows = [json.loads(line) for line in (report.out / "rejected.jsonl").read_text().splitlines()]
    assert rows[0]["source"] == "anna/1.png"
    assert rows[0]["attempts"] == 2
    assert rows[0]["reasons"][0].startswith("motion")
    assert summarise(report.out).rejected == {"motion": 10}
    again = expand(
        faces, tmp_path / "out", driving=tiny_pool, model=tiny_model, copies=2, gates=gates, tries=2, resume=True
    )  # fmt: skip
    assert (again.new, again.rejected) == (0, 10)


def test_the_manifest_has_the_scores(tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path) -> None:
    report = expand(faces, tmp_path / "out", driving=tiny_pool, model=tiny_model, copies=1, gates=OPEN)
    rows = [json.loads(line) for line in (report.out / "manifest.jsonl").read_text().splitlines()]
    assert all(row["scores"]["sharpness"] > 0 for row in rows)
    assert set(summarise(report.out).scores) >= {"folded", "motion"}


def test_an_embedder_can_be_passed_in(
    tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path
) -> None:
    options = {"driving": tiny_pool, "model": tiny_model, "copies": 1, "gates": {**OPEN, "min_identity": 0.5}}
    with pytest.raises(ArgumentError, match="needs a face embedder"):
        expand(faces, tmp_path / "out", **options)
    report = expand(faces, tmp_path / "out", embed=lambda images: images.mean((2, 3)), **options)
    assert report.written == 5


def test_large_pictures_are_reduced_before_they_are_judged(
    tiny_model: Animator, tiny_pool: DrivingPool, face: Callable[..., np.ndarray]
) -> None:
    from fomaug.expand.gates import _to_unit

    assert _to_unit(Picture(face(0, 1024, 600))).shape == (1, 3, 512, 300)


@pytest.mark.parametrize(("selection", "attempts"), [("sequence", 1), ("uniform", 3)])
def test_a_frame_of_a_sequence_is_not_drawn_anew(
    tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path, selection: str, attempts: int
) -> None:
    options = {"copies": 2, "gates": {**OPEN, "min_motion": 99.0}, "selection": selection}
    report = expand(faces, tmp_path / "out", driving=tiny_pool, model=tiny_model, **options)
    rows = [json.loads(line) for line in (report.out / "rejected.jsonl").read_text().splitlines()]
    assert {row["attempts"] for row in rows} == {attempts}

"""Where a clip shows no face, such as in a title card, the animated face rests."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fomaug import Animator
from fomaug.driving import MotionTrack, closest_frame
from fomaug.media import read_clip
from fomaug.types import Keypoints
from fomaug.visual import AnimateOptions, animate_clip
from fomaug.visual.inputs import Motion, choose_frame

NOD = Path(__file__).parents[2] / "examples" / "clips" / "nod.mp4"


def title(count: int) -> list[np.ndarray]:
    card = np.full((256, 256, 3), 235, np.uint8)
    card[110:150, 50:200] = 20
    return [card] * count


def test_frames_of_a_title_card_move_no_face_and_are_counted(
    face_model: Animator, face: Path, tmp_path: Path, media
) -> None:
    clip = media.write(tmp_path / "clip.mp4", [*title(3), *islice(read_clip(NOD), 0, 12, 3)])
    notes: list[str] = []
    options = {"model": face_model, "on_note": notes.append, "face": "whole", "reference": "first"}
    frames = media.frames_of(animate_clip(face, clip, tmp_path / "out.mp4", **options))
    assert len(frames) == 7
    assert f"{clip}: 3 of 7 frames show no face; in these the face rests" in notes
    before = np.asarray(Image.open(face).convert("RGB").resize(frames[0].shape[1::-1])).astype(int)
    assert all(np.abs(frame - before).mean() < 8 for frame in frames[:3])
    assert all(np.abs(frame.astype(int) - frames[0]).mean() < 2 for frame in frames[:3])
    # The first frame with a face is the reference, so the face starts to move from its own pose.
    assert np.abs(frames[3].astype(int) - frames[2]).mean() < 2


def test_frames_without_a_face_are_never_the_reference(tiny_model: Animator) -> None:
    rng = torch.Generator().manual_seed(0)
    value = torch.rand(6, 10, 2, generator=rng) - 0.5
    jacobian = torch.eye(2).expand(6, 10, 2, 2).contiguous()
    motion = Motion(Path("a.mp4"), MotionTrack("a", Keypoints(value, jacobian), 25.0), False, (2, 3, 5))
    source = Keypoints(value[:1] * 1.01, jacobian[:1])
    first, closest = AnimateOptions(reference="first"), AnimateOptions(reference="closest")
    assert torch.equal(motion.reference(source, first, tiny_model).value[0], value[2])
    assert int(closest_frame(motion.track, source)[0]) == 0
    chosen = motion.reference(source, closest, tiny_model).value[0]
    assert any(torch.equal(chosen, value[row]) for row in (2, 3, 5))
    rows, shares = motion.steps(one=False)
    assert rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert shares.tolist() == [0, 0, 1, 1, 0, 1]
    whole = Motion(Path("a.mp4"), motion.track, False)
    assert whole.steps(one=False)[1].tolist() == [1] * 6


def test_the_frame_of_a_video_is_chosen_by_frames_that_show_a_face(tmp_path: Path, media) -> None:
    value = torch.rand(4, 10, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    track = MotionTrack("a", Keypoints(value, torch.eye(2).expand(4, 10, 2, 2).contiguous()), 25.0)
    video = media.write(tmp_path / "source.mp4", media.stripes(4))
    for faces, chosen in (((1, 3), 1), ((2, 3), 2)):
        motion = Motion(Path("a.mp4"), track, False, faces)
        settings = AnimateOptions(reference="first", source_frame="closest")
        assert choose_frame(video, motion, settings, lambda: track) == chosen

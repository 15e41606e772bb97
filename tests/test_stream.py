from __future__ import annotations

import weakref
from collections.abc import Iterator

import torch
from torch import Tensor

from fomaug import Animator, transfer


def test_a_stream_is_relative_transfer_frame_by_frame(tiny_model: Animator) -> None:
    source, clip = tiny_model.encode(torch.rand(1, 3, 64, 64)), torch.rand(4, 3, 64, 64)
    streamed = [out.image for out in tiny_model.stream(source, clip.split(1), strength=0.5)]
    driving = tiny_model.detect(clip)
    whole = tiny_model.animate(source, transfer(source.keypoints, driving, driving[0], strength=0.5)).image
    torch.testing.assert_close(torch.cat(streamed), whole, atol=1e-5, rtol=0)


def test_a_stream_keeps_no_frame(tiny_model: Animator) -> None:
    seen: list[weakref.ref[Tensor]] = []

    def camera() -> Iterator[Tensor]:
        for _ in range(5):
            frame = torch.rand(1, 3, 64, 64)
            seen.append(weakref.ref(frame))
            yield frame

    for _ in tiny_model.stream(tiny_model.encode(torch.rand(1, 3, 64, 64)), camera()):
        assert sum(ref() is not None for ref in seen) <= 2

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import get_type_hints

import pytest
import torch
from torch import Tensor

from fomaug import Animator, load_model, transfer
from fomaug.errors import ArgumentError
from fomaug.geometry import confine
from fomaug.stream import StreamOptions, stream


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


def test_a_stream_moves_a_region_of_the_face() -> None:
    model = load_model(device="cpu")
    soft = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    first, *clip = torch.nn.functional.interpolate(soft, (64, 64), mode="bilinear").split(1)
    source = model.encode(first)
    streamed = [out.image for out in model.stream(source, clip, region="mouth")]
    reference = model.detect(clip[0])
    for frame, found in zip(clip, streamed, strict=True):
        moved = transfer(source.keypoints, model.detect(frame), reference)
        wanted = model.animate(source, confine(source.keypoints, moved, "mouth", model.keypoint_names))
        torch.testing.assert_close(found, wanted.image, atol=1e-5, rtol=0)


def test_an_unknown_region_is_refused_before_the_first_frame(tiny_model: Animator) -> None:
    source = tiny_model.encode(torch.rand(1, 3, 64, 64))
    with pytest.raises(ArgumentError, match="did you mean 'mouth'"):
        tiny_model.stream(source, iter(()), region="mouht")
    with pytest.raises(ArgumentError, match="names its keypoints"):
        tiny_model.stream(source, iter(()), region="mouth")


def test_the_keywords_of_an_animator_are_those_of_the_function() -> None:
    taken = get_type_hints(stream)
    assert get_type_hints(StreamOptions) == {name: taken[name] for name in StreamOptions.__annotations__}
    assert set(StreamOptions.__annotations__) == set(taken) - {"animator", "source", "frames", "reference", "return"}

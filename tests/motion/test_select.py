from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from fomaug.errors import ArgumentError
from fomaug.motion.draw import STILL, DrawableFrames, restrict_frames
from fomaug.motion.draw import select as select_rows
from fomaug.motion.numbers import hash_keys
from fomaug.motion.space import build_space

SELECTIONS = ("diverse", "uniform", "sequence")


def select(name: str, frames: DrawableFrames, count: int, words: tuple[str | int, ...]) -> np.ndarray:
    """The frames of one source."""
    return select_rows(name, frames, hash_keys(words[1:], words[0]), count)[0]


@pytest.fixture(scope="module")
def space(heads):
    return build_space(heads.values, [1.0] * len(heads.values))


@pytest.fixture(scope="module")
def frames(space) -> DrawableFrames:
    return restrict_frames(space, None, None)


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_copy_does_not_depend_on_the_number_of_copies(frames, name):
    many = select(name, frames, 8, (0, "a"))
    for count in range(1, 8):
        assert select(name, frames, count, (0, "a")).tolist() == many[:count].tolist()


@pytest.mark.parametrize("name", SELECTIONS)
def test_sources_get_different_frames(frames, name):
    assert select(name, frames, 8, (0, "a")).tolist() != select(name, frames, 8, (0, "b")).tolist()


@pytest.mark.parametrize("name", SELECTIONS)
def test_more_copies_than_frames_are_possible(name):
    few = restrict_frames(build_space([np.random.default_rng(0).random((3, 4, 2))], [1.0]), None, None)
    assert set(select(name, few, 9, (0, "a")).tolist()) <= {0, 1, 2}


def mean_pair(value: np.ndarray) -> float:
    return float(np.mean([np.linalg.norm(a - b, axis=-1).mean() for a, b in combinations(value, 2)]))


def test_diverse_copies_are_half_as_far_apart_again_as_uniform_ones(frames, heads):
    """Measured in plain keypoints of one face, not in the space that the choice was made in."""
    plain = np.concatenate([(v - v.mean(1, keepdims=True)) / v.std((1, 2)).mean() for v in heads.values])
    apart = {
        name: np.mean([mean_pair(plain[select(name, frames, 8, (seed, "a"))]) for seed in range(40)])
        for name in ("diverse", "uniform")
    }
    assert apart["diverse"] >= 1.5 * apart["uniform"]


def test_diverse_leaves_near_still_frames_out(space, frames):
    chosen = np.concatenate([select("diverse", frames, 8, (seed, "a")) for seed in range(20)])
    assert space.size[chosen].min() >= STILL * np.quantile(space.size, 0.95)


def test_diverse_avoids_mirror_images_of_earlier_copies():
    """Six turns to one side, and their exact mirror images: a slow look at all pairs finds none together."""
    face = np.array([(-0.5, -0.5), (0.5, -0.5), (0.0, 0.0), (-0.5, 0.5), (0.5, 0.5)])
    shift = np.array([0.01, 0.01, 0.08, 0.01, 0.01])
    steps = np.array([0, *range(1, 7), *range(-6, 0)]) / 6
    value = face + steps[:, None, None] * np.stack([shift, 0 * shift], -1)
    space = build_space([value], [1.0])
    for seed in range(20):
        chosen = steps[select("diverse", restrict_frames(space, None, None), 3, (seed, "a"))]
        assert all(abs(a + b) > 1e-9 for a, b in combinations(chosen, 2))


def test_uniform_draws_tracks_by_weight(heads):
    weights = [3.0, 1.0] + [0.0] * 10
    space = build_space(heads.values, weights)
    frames = restrict_frames(space, None, None)
    tracks = space.track[select("uniform", frames, 2000, (0, "a"))]
    assert set(tracks.tolist()) == {0, 1}
    assert abs(np.mean(tracks == 0) - 0.75) < 0.04


def test_diverse_never_uses_a_track_of_weight_zero(heads):
    space = build_space(heads.values, [1.0, 1.0] + [0.0] * 10)
    chosen = select("diverse", restrict_frames(space, None, None), 30, (0, "a"))
    assert set(space.track[chosen].tolist()) == {0, 1}


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("alone", range(12))
def test_a_track_that_alone_has_a_weight_is_the_only_one_drawn(name, alone, heads):
    """Also the calmest one, whose every frame is near-still beside those of the others."""
    calm = [0.05 * (value - value.mean(0)) + value.mean(0) for value in heads.values[1:]]
    space = build_space([heads.values[0], *calm], [float(track == alone) for track in range(12)])
    chosen = select(name, restrict_frames(space, None, None), 8, (0, "a"))
    assert set(space.track[chosen].tolist()) == {alone}


@pytest.mark.parametrize("name", SELECTIONS)
def test_no_range_makes_a_track_of_weight_zero_be_drawn(name, space, heads):
    turned = int(space.track[space.yaw.argmax()])
    weights = [float(track != turned) for track in range(12)]
    weighted = build_space(heads.values, weights)
    far = float(weighted.yaw[weighted.track != turned].max())
    assert far < weighted.yaw.max()
    with pytest.raises(ArgumentError, match=r"the pool spans yaw .* or give tracks of weight 0 a weight"):
        restrict_frames(weighted, (far + 1e-6, 90), None)
    chosen = select(name, restrict_frames(weighted, (0, 90), None), 40, (0, "a"))
    assert turned not in weighted.track[chosen]


def test_a_pool_without_any_weight_cannot_be_drawn_from(heads):
    with pytest.raises(ArgumentError, match="every track of the pool has weight 0; give one at least a weight"):
        restrict_frames(build_space(heads.values, [0.0] * 12), None, None)


def restless_among_calm(heads) -> list[np.ndarray]:
    """Twelve people of whom the first moves three times as much as anybody."""
    usual = [value.mean(0) for value in heads.values]
    calm = [mean + 0.3 * (value - mean) for mean, value in zip(usual, heads.values, strict=True)]
    return [heads.values[int(np.argmax([v.std(0).sum() for v in heads.values]))], *calm[1:]]


def test_one_lively_clip_does_not_dominate(heads):
    space = build_space(restless_among_calm(heads), [1.0] * 12)
    chosen = np.concatenate(
        [select("diverse", restrict_frames(space, None, None), 8, (seed, "a")) for seed in range(40)]
    )
    share = np.bincount(space.track[chosen], minlength=12) / len(chosen)
    assert share[0] == share.max(), "it does give more than others"
    assert share[0] <= 0.5


def test_diverse_respects_the_weights_of_tracks(heads):
    """The same six motions twice, the second time with a sixth of the weight."""
    values, light = [*heads.values[:6], *heads.values[:6]], {}
    for weight in (1.0, 6.0):
        frames = restrict_frames(build_space(values, [weight] * 6 + [1.0] * 6), None, None)
        chosen = np.concatenate([select("diverse", frames, 8, (seed, "a")) for seed in range(40)])
        light[weight] = float(np.mean(frames.space.track[chosen] >= 6))
    assert light[1.0] > 0.4
    assert light[6.0] < 0.25


def test_sequence_has_consecutive_frames_and_reverses_at_the_ends(space, frames):
    chosen = select("sequence", frames, 200, (0, "a"))
    assert len(set(space.track[chosen].tolist())) == 1
    assert set(np.abs(np.diff(space.frame[chosen])).tolist()) == {1}


@pytest.mark.parametrize("name", SELECTIONS)
def test_ranges_are_respected(space, name):
    frames = restrict_frames(space, (5, 30), (-3, 3))
    chosen = select(name, frames, 8, (0, "a"))
    assert space.yaw[chosen].min() >= 5
    assert np.abs(space.pitch[chosen]).max() <= 3


def test_the_error_for_an_empty_range_names_the_range_of_the_pool(space):
    with pytest.raises(ArgumentError, match=r"the pool spans yaw \(-\d+, \d+\)"):
        restrict_frames(space, (80, 90), None)

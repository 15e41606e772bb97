"""The generator of the draws: known answers, and numbers that depend on nothing else."""

from __future__ import annotations

import json

import fresh
import numpy as np
import pytest

from fomaug.motion.numbers import hash_keys, mix, uniform

GOLDEN_HASH = ["b29bbbb986e256b7", "a38799fee8875dc4"]
GOLDEN = [0.8308410706932744, 0.7451415720292265, 0.035715339086410114]


def test_the_mixing_function_is_that_of_splitmix64() -> None:
    """The first numbers of SplitMix64 from the seed 1234567, as other implementations give them."""
    counter = np.arange(1, 6, dtype=np.uint64)
    found = mix(np.uint64(1234567) + counter * np.uint64(0x9E3779B97F4A7C15))
    assert found.tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def plain_uniform(hashes: tuple[int, int], purpose: int, copy: int) -> float:
    """The same in Python's own integers."""

    def finalise(bits: int) -> int:
        bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB % 2**64
        return bits ^ (bits >> 31)

    counter = (purpose << 32) + copy + 1
    bits = finalise(finalise((hashes[0] + counter * 0x9E3779B97F4A7C15) % 2**64) ^ hashes[1])
    return (bits >> 11) / 2**53


def test_numbers_are_those_of_plain_integers() -> None:
    hashes = hash_keys(["a", "b", 3], 0, "pool")
    found = uniform(hashes, 0, 5, count=4)
    for row, (first, second) in enumerate(hashes.tolist()):
        for index, purpose in enumerate((0, 5)):
            for copy in range(4):
                assert found[index, row, copy] == plain_uniform((first, second), purpose, copy)


def test_numbers_are_the_same_in_every_process() -> None:
    program = (
        "import json; from fomaug.motion.numbers import hash_keys, uniform;"
        "print(json.dumps(uniform(hash_keys(['anna.jpg', 7], 0, 'pool'), 1, count=3).tolist()))"
    )
    found = json.loads(fresh.run(["-c", program], check=True).stdout)
    assert found == uniform(hash_keys(["anna.jpg", 7], 0, "pool"), 1, count=3).tolist()


def test_draws_are_the_same_on_every_machine() -> None:
    """Written down once: a change here changes every expanded dataset, and needs a new version of the draws."""
    assert [f"{part:016x}" for part in hash_keys(["anna.jpg"], 0, 3)[0].tolist()] == GOLDEN_HASH
    assert uniform(hash_keys(["anna.jpg"], 0, 3), 1, count=3).ravel().tolist() == GOLDEN


def test_hashed_words_are_separated() -> None:
    hashes = [
        hash_keys(["bc"], "a"),
        hash_keys(["c"], "ab"),
        hash_keys(["abc"]),
        hash_keys(["1"]),
        hash_keys([1]),
        hash_keys(["1"], 1),
        hash_keys(["1"], "1"),
        hash_keys([-1]),
    ]
    assert len({tuple(found[0].tolist()) for found in hashes}) == len(hashes)


def test_a_key_does_not_depend_on_its_neighbours() -> None:
    together = hash_keys(["a", "b", 10**5000, "\udcff"], 0)
    for row, key in enumerate(["a", "b", 10**5000, "\udcff"]):
        assert hash_keys([key], 0).tolist() == together[row : row + 1].tolist()


@pytest.mark.parametrize("purposes", [(0,), (1, 2)])
def test_more_copies_keep_the_first_ones(purposes: tuple[int, ...]) -> None:
    hashes = hash_keys(range(5), 0)
    assert uniform(hashes, *purposes, count=3).tolist() == uniform(hashes, *purposes, count=9)[..., :3].tolist()


def test_numbers_are_uniform_and_independent() -> None:
    numbers = uniform(hash_keys(range(2000), 0), 0, 1, count=8)
    assert 0 <= numbers.min() < 1e-3
    assert 1 - 1e-3 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.005
    counts = np.histogram(numbers, 64, (0, 1))[0]
    expected = numbers.size / 64
    assert np.square(counts - expected).sum() / expected < 63 + 5 * np.sqrt(2 * 63)
    columns = numbers.transpose(1, 0, 2).reshape(2000, -1)
    between = np.corrcoef(columns.T)[np.triu_indices(16, 1)]
    assert np.abs(between).max() < 0.1

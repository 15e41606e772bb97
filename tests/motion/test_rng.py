from __future__ import annotations

from fomaug.motion.select import named_rng


def test_draws_are_the_same_on_every_machine():
    # Written down once: a change here changes every expanded dataset.
    assert named_rng(0, "anna.jpg", 3).integers(2**32, size=3).tolist() == GOLDEN


def test_words_do_not_run_together():
    streams = [named_rng("a", "bc"), named_rng("ab", "c"), named_rng("abc"), named_rng("1"), named_rng(1)]
    assert len({stream.random() for stream in streams}) == len(streams)


GOLDEN = [1365830862, 3819595164, 2875437429]

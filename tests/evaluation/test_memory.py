from __future__ import annotations

import torch

from fomaug.evaluation.memory import peak_bytes

KB = torch.zeros(256)


def test_what_is_freed_does_not_add_up_and_what_is_kept_does() -> None:
    assert peak_bytes(lambda: [torch.zeros(256) is None for _ in range(5)]) == 1024
    assert peak_bytes(lambda: [torch.zeros(256) for _ in range(5)]) == 5 * 1024


def test_tensors_from_before_and_views_of_them_do_not_count() -> None:
    assert peak_bytes(lambda: KB.view(16, 16)[1:].add_(1)) == 0
    assert peak_bytes(lambda: KB + 1) == 1024

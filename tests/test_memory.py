"""Memory kept between passes."""

from __future__ import annotations

import pickle
import platform
import subprocess
import sys

import pytest

from fomaug import Animator, animator

FAULTS = """
import resource, torch, fomaug
torch.set_num_threads(1)
model = fomaug.load_model("lite-256", device="cpu")
source = model.encode(torch.rand(4, 3, 256, 256))
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        model.animate(source, source.keypoints)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 4)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other habits")
def test_a_later_pass_asks_the_system_for_almost_no_pages() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 500, "thousands where malloc gives everything back"


def test_a_model_sees_to_it_wherever_it_arrives(tiny_model: Animator, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(animator, "keep_freed_memory", lambda: calls.append(1))
    pickle.loads(pickle.dumps(tiny_model))
    assert calls == [1]

"""The process that reads the corpus: runs commands one after another, and says how each ends.

It is given a JSON file with a list of commands, the words of each, and the path of the file to write: for each command
its exit code, what it printed, and the seconds it took; and the bytes by which the memory has grown at most since the
first command.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

_KIB = 1024


def _run(words: list[str]) -> dict[str, Any]:
    from fomaug.cli import main

    printed, began = io.StringIO(), time.monotonic()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = main(words)
    except BaseException:  # noqa: BLE001 - this is what is looked for
        code = -1
        printed.write(traceback.format_exc())
    return {"code": code, "text": printed.getvalue(), "seconds": time.monotonic() - began}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def _main(commands: str, results: str) -> None:
    import torch

    torch.set_num_threads(1)
    first, *others = json.loads(Path(commands).read_text())
    found = [_run(first)]
    loaded = _peak()
    found += [_run(words) for words in others]
    Path(results).write_text(json.dumps({"commands": found, "growth": _peak() - loaded}))


if __name__ == "__main__":
    _main(*sys.argv[1:])

"""The command line: `fomaug expand`, `animate`, `pool`, `model` and more.

Commands are thin: they parse, call and print. Their modules are imported when they run, so that `--help` is quick.
Exit codes: 0 done; 1 the answer is no (`verify`, `check`); 2 wrong arguments or input; 3 done, but some inputs failed
and are named; 130 interrupted; 141 the reader of the output has ended.
"""

from fomaug.cli.group import main as main

__all__ = ["main"]

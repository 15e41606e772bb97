"""New Python processes that have imported torch already, which takes seconds: copies of a process that waits for them.

`run` and `start` are like `subprocess.run` and `subprocess.Popen` with `sys.executable` in front of the words. They are
for programs whose behaviour does not depend on the time at which torch is imported. A new process has its own working
folder, environment, arguments, path of modules and pipes; nothing but torch is imported in it.

Run as a script, this file is the waiting process. It ends when the process that started it has closed its input.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

Words = Sequence[str | os.PathLike[str]]


class Process:
    """A started process, with the members of `subprocess.Popen` that the tests use."""

    def __init__(self, words: Words, cwd: Path | None, env: Mapping[str, str] | None) -> None:
        self.args = [os.fspath(word) for word in words]
        self.returncode: int | None = None
        self.processor_seconds = 0.0  # known after the end
        request = {"words": self.args, "cwd": os.fspath(cwd or Path.cwd()), "env": dict(env or os.environ)}
        (out, out_end), (error, error_end) = os.pipe(), os.pipe()
        self.stdout, self.stderr = os.fdopen(out, "rb"), os.fdopen(error, "rb")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(_server())
        content = json.dumps(request).encode()
        socket.send_fds(self._socket, [len(content).to_bytes(8, "little")], [out_end, error_end])
        self._socket.sendall(content)
        os.close(out_end)
        os.close(error_end)
        self.pid = self._read()

    def _read(self) -> int:
        return int.from_bytes(_receive(self._socket, 8), "little", signed=True)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process, and return its exit code, which is negative after a signal."""
        if self.returncode is None:
            if not select.select([self._socket], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode, self.processor_seconds = self._read(), self._read() / 1000
            self._socket.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Read both pipes until the process and all that it started have closed them; kill it after `timeout`."""
        with ThreadPoolExecutor(2) as threads:
            read = [threads.submit(pipe.read) for pipe in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            out, error = (part.result() for part in read)
        self.stdout.close()
        self.stderr.close()
        return out, error

    def send_signal(self, number: int) -> None:
        """Send a signal to a process that has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill a process that has not ended."""
        self.send_signal(signal.SIGKILL)


def start(words: Words, *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Process:
    """Start a process: `["-c", code, ...]`, `["-m", module, ...]` or `[script, ...]`."""
    return Process(words, cwd, env)


def run(
    words: Words,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = False,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a process until its end, and return its output and errors as text."""
    process = start(words, cwd=cwd, env=env)
    out, error = (text.decode(errors="replace") for text in process.communicate(timeout))
    done = subprocess.CompletedProcess(process.args, process.wait(), out, error)
    if check and done.returncode:
        raise AssertionError(f"{process.args} ended with {done.returncode}: {error}")
    return done


@cache
def _server() -> str:
    """Start the process that waits, and return the path of its socket."""
    folder = tempfile.TemporaryDirectory(prefix="fresh")
    path = os.path.join(folder.name, "socket")  # noqa: PTH118 (a socket's path is a text)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, path]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert server.stdin is not None and server.stdout is not None
    assert server.stdout.readline() == b"ready\n"

    def end() -> None:
        assert server.stdin is not None and server.stdout is not None
        server.stdin.close()
        server.stdout.close()
        server.wait()
        folder.cleanup()

    atexit.register(end)
    return path


def _receive(connection: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        part = connection.recv(count - len(content))
        if not part:
            raise RuntimeError("the process that makes new processes has ended")
        content += part
    return content


def _serve(path: str) -> None:
    """Make processes until the input is closed."""
    import torch  # noqa: F401

    gc.collect()
    gc.freeze()  # otherwise the collector would visit, and so copy, the objects of torch at the end of every process
    base = sys.path[1:]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        listener.close()
        request = _attend(connection)
        if request is None:
            os._exit(0)
        _become(request, base)
        sys.exit()


def _attend(connection: socket.socket) -> dict[str, Any] | None:
    """Fork once more; return the request in the new process, and None in this one after the end of the new one."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, pipes, _, _ = socket.recv_fds(connection, 8, 2)
    request: dict[str, Any] = json.loads(_receive(connection, int.from_bytes(size, "little")))
    pid = os.fork()
    if not pid:
        connection.close()
        null = os.open(os.devnull, os.O_RDONLY)
        for number, pipe in enumerate((null, *pipes)):
            os.dup2(pipe, number)
            os.close(pipe)
        return request
    for pipe in pipes:
        os.close(pipe)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection.sendall(pid.to_bytes(8, "little", signed=True))
    _, status, used = os.wait4(pid, 0)
    for number in (os.waitstatus_to_exitcode(status), round(1000 * (used.ru_utime + used.ru_stime))):
        connection.sendall(number.to_bytes(8, "little", signed=True))
    return None


def _become(request: dict[str, Any], base: list[str]) -> None:
    """Run the program of a request in this process, as Python would in a new one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    kind, *rest = request["words"]
    first = {"-c": "", "-m": request["cwd"]}.get(kind, os.path.dirname(os.path.abspath(kind)))  # noqa: PTH100, PTH120
    added = [part for part in request["env"].get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.path[:] = [first, *added, *base]
    if kind == "-c":
        code, *arguments = rest
        sys.argv = ["-c", *arguments]
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        exec(compile(code, "<string>", "exec"), main.__dict__)
    elif kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [kind, *rest]
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    _serve(sys.argv[1])

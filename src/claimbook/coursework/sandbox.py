"""A process for a student's code: no network, no files but its own, no new processes, and limits on everything.

On Linux, with bubblewrap. Inside, only the system's libraries, Python, the environment's packages and this package
can be read; what is written goes to a small file system in memory that ends with the process. A filter on system
calls refuses new processes, which stops fork bombs even when the grader is run by root.
"""

from __future__ import annotations

import json
import os
import platform
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
MIB = 2**20
LONGEST = 32 * MIB  # bytes in one reply
HOME = "/tmp/home"

# System calls by architecture, for the filter: its audit number, and the numbers of the calls.
CALLS = {
    "x86_64": (
        0xC000003E,
        {"clone": 56, "clone3": 435},
        # fork, vfork, ptrace, unshare, setns, mount, umount2, bpf, perf_event_open, keyctl, add_key, request_key,
        # io_uring_setup, userfaultfd, process_vm_readv, process_vm_writev, open_by_handle_at
        (57, 58, 101, 272, 308, 165, 166, 321, 298, 250, 248, 249, 425, 323, 310, 311, 304),
    ),
    "aarch64": (
        0xC00000B7,
        {"clone": 220, "clone3": 435},
        # ptrace, unshare, setns, mount, umount2, bpf, perf_event_open, keyctl, add_key, request_key,
        # io_uring_setup, userfaultfd, process_vm_readv, process_vm_writev, open_by_handle_at
        (117, 97, 268, 40, 39, 280, 241, 219, 217, 218, 425, 282, 270, 271, 265),
    ),
}
CLONE_THREAD = 0x10000


class NoSandbox(RuntimeError):
    """This machine cannot run a sandbox."""


class TimeUp(RuntimeError):
    """The student's code took longer than it may; the process still lives if ``alive``."""

    def __init__(self, message: str, alive: bool):
        super().__init__(message)
        self.alive = alive


class Dead(RuntimeError):
    """The student's process has ended."""


@dataclass(frozen=True)
class Limits:
    """What a submission may use: seconds on the clock, and bytes."""

    cell: float = 60.0
    call: float = 10.0
    cpu: int = 600
    memory: int = 3072 * MIB
    disk: int = 64 * MIB


def unavailable() -> str | None:
    """Return why this machine has no sandbox, in one sentence that says what to do, or None."""
    if not sys.platform.startswith("linux"):
        return "Grading needs Linux (on Windows, WSL), where submissions run in a sandbox."
    if platform.machine() not in CALLS:
        return f"The sandbox knows {' and '.join(CALLS)}, and this is {platform.machine()}."
    if shutil.which("bwrap") is None:
        return "bubblewrap is missing: install it (on Debian and Ubuntu: apt install bubblewrap)."
    tried = subprocess.run(
        ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, text=True
    )
    if tried.returncode:
        return f"bubblewrap does not start here ({tried.stderr.strip()}): this system may forbid user namespaces."
    return None


def no_processes() -> bytes:
    """Return the filter: threads may start, processes may not, and what could reach out of the sandbox is refused."""
    audit, clones, refused = CALLS[platform.machine()]
    load, jump, jump_over, jump_set, end = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill = 0x7FFF0000, 0x80000000
    refuse, unknown = 0x00050000 | 1, 0x00050000 | 38  # EPERM; ENOSYS, after which libraries try `clone`
    program = [(load, 0, 0, 4), (jump, 1, 0, audit), (end, 0, 0, kill), (load, 0, 0, 0)]
    if platform.machine() == "x86_64":
        program += [(jump_over, 0, 1, 0x40000000), (end, 0, 0, refuse)]  # the second table of calls
    for number in refused:
        program += [(jump, 0, 1, number), (end, 0, 0, refuse)]
    program += [(jump, 0, 1, clones["clone3"]), (end, 0, 0, unknown)]
    program += [
        (jump, 0, 3, clones["clone"]),
        (load, 0, 0, 16),  # the flags
        (jump_set, 1, 0, CLONE_THREAD),
        (end, 0, 0, refuse),
        (end, 0, 0, allow),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in program)


def walls(limits: Limits, fonts: Path | None) -> list[str]:
    """Return the command that puts walls around what follows it."""
    command = [
        "bwrap",
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        "--cap-drop",
        "ALL",
    ]
    command += ["--hostname", "sandbox"]
    for folder in ("/usr", "/lib", "/lib64", "/bin"):
        if os.path.islink(folder):
            command += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            command += ["--ro-bind", folder, folder]
    for path in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/localtime"):
        command += ["--ro-bind-try", path, path]
    command += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/dev/shm", "/tmp"):
        command += ["--size", str(limits.disk), "--tmpfs", folder]
    readable = {Path(sys.prefix), Path(sys.base_prefix), PACKAGE}
    if fonts:
        readable.add(fonts)
    for folder in sorted(_outermost(readable)):
        command += ["--ro-bind", str(folder), str(folder)]
    command += ["--dir", HOME, "--chdir", HOME, "--remount-ro", "/dev", "--remount-ro", "/"]
    for name, value in inside().items():
        command += ["--setenv", name, value]
    return command


def _outermost(folders: set[Path]) -> set[Path]:
    """Return the folders to bind: no system folders, none inside another, and not a whole home or the book."""
    folders = {folder for folder in folders if not str(folder).startswith(("/usr/", "/lib"))}
    folders = {folder for folder in folders if not PACKAGE.is_relative_to(folder) or folder == PACKAGE}
    return {
        folder
        for folder in folders
        if not any(folder != other and folder.is_relative_to(other) for other in folders)
    }


def inside() -> dict[str, str]:
    """Return the environment variables of the student's process."""
    return {
        "HOME": HOME,
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(PACKAGE.parent),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": f"{HOME}/matplotlib",
        "IPYTHONDIR": f"{HOME}/ipython",
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    }


@dataclass
class Sandbox:
    """One student's process. Use as a context manager.

    Parameters
    ----------
    limits : Limits
    walled : bool
        Without walls the code runs as the user who grades, with the user's files: only when asked for.
    fonts : Path, optional
        A folder with Matplotlib's list of fonts, which takes seconds to make.
    """

    limits: Limits = field(default_factory=Limits)
    walled: bool = True
    fonts: Path | None = None

    def __enter__(self) -> Sandbox:
        settings = {
            "memory": self.limits.memory,
            "file_size": self.limits.disk,
            "cpu": self.limits.cpu,
            "fonts": str(self.fonts) if self.fonts else None,
        }
        command = [sys.executable, "-m", "claimbook.coursework.worker", json.dumps(settings)]
        self._folder, environment, passed = None, None, ()
        if self.walled:
            reading, writing = os.pipe()
            os.write(writing, no_processes())
            os.close(writing)
            command = [*walls(self.limits, self.fonts), "--seccomp", str(reading), "--", *command]
            passed = (reading,)
        else:
            self._folder = tempfile.TemporaryDirectory(prefix="claimbook-")
            environment = {name: value.replace(HOME, self._folder.name) for name, value in inside().items()}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=passed,
            env=environment,
            cwd=self._folder.name if self._folder else None,
            start_new_session=True,
        )
        for descriptor in passed:
            os.close(descriptor)
        for pipe in (self._process.stdin, self._process.stdout):
            os.set_blocking(pipe.fileno(), False)
        self._number, self._rest = 0, b""
        return self

    def __exit__(self, *_) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                pipe.close()
            except OSError:
                pass
        self._process.wait()
        if self._folder:
            self._folder.cleanup()

    def cell(self, code: str, seconds: float | None = None) -> dict:
        """Run a cell and return ``{"outputs": [...], "dropped": characters}``; raise `TimeUp` or `Dead`."""
        reply = self._ask({"op": "cell", "code": code}, seconds or self.limits.cell)
        outputs = reply.get("outputs")
        return {
            "outputs": outputs if isinstance(outputs, list) else [],
            "dropped": reply.get("dropped") if isinstance(reply.get("dropped"), int) else 0,
        }

    def value(self, name: str) -> dict:
        """Return ``{"value": text}`` or ``{"error": [type, message]}`` for a name; raise `TimeUp` or `Dead`."""
        return self._ask({"op": "value", "name": name}, self.limits.call)

    def call(self, name: str, arguments: str) -> dict:
        """Call a function with encoded arguments; like `value`."""
        return self._ask({"op": "value", "name": name, "arguments": arguments}, self.limits.call)

    def _ask(self, request: dict, seconds: float) -> dict:
        self._number += 1
        deadline = time.monotonic() + seconds
        self._send({"number": self._number, **request}, deadline)
        reply = self._receive(deadline)
        if reply is None:
            message = f"it ran longer than {seconds:g} s"
            self._send({"op": "interrupt"}, time.monotonic() + 1)
            if self._receive(time.monotonic() + 6) is None:
                raise TimeUp(message, alive=False)
            raise TimeUp(message, alive=True)
        return reply

    def _send(self, request: dict, deadline: float) -> None:
        data = memoryview(json.dumps(request).encode() + b"\n")
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdin, selectors.EVENT_WRITE)
            while data:
                if not selector.select(max(0, deadline - time.monotonic())):
                    raise TimeUp("it did not listen", alive=False)
                try:
                    data = data[os.write(self._process.stdin.fileno(), data) :]
                except BlockingIOError:
                    continue
                except OSError:
                    raise Dead("the process ended") from None

    def _receive(self, deadline: float) -> dict | None:
        """Return the reply to the last request, or None when time is up."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while True:
                line, found, rest = self._rest.partition(b"\n")
                if found:
                    self._rest = rest
                    reply = _parsed(line)
                    if reply.get("number") == self._number:
                        return reply
                    if time.monotonic() > deadline:  # a flood of lines is no reply
                        return None
                    continue
                if len(self._rest) > LONGEST:
                    raise Dead("the process wrote too much")
                left = deadline - time.monotonic()
                if left < 0 or not selector.select(left):
                    return None
                try:
                    data = os.read(self._process.stdout.fileno(), MIB)
                except BlockingIOError:
                    continue
                if not data:
                    raise Dead("the process ended")
                self._rest += data


def _parsed(line: bytes) -> dict:
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return reply if isinstance(reply, dict) else {}

"""Runs a student's cells and functions inside the sandbox. Trusted with nothing.

Requests and replies are lines of JSON on the descriptors that were standard input and output. Whatever the student's
code does to this process, including writing replies of its own, it can only change the data that comes back.
"""

from __future__ import annotations

import _thread
import io
import json
import os
import queue
import shutil
import sys
import threading

MIB = 2**20
OUTPUT = 200_000  # characters of text kept from a cell
PICTURES = 2 * MIB


def limit(memory: int, file_size: int, cpu: int) -> None:
    """Lower this process's limits for good (bytes, bytes, seconds). Only on Linux: elsewhere just solutions run."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    for name, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
    ):
        resource.setrlimit(name, (value, value))


class Kept(io.StringIO):
    """Keeps the first part of what is written, and counts the rest."""

    def __init__(self):
        super().__init__()
        self.dropped = 0

    def write(self, text):
        room = max(0, OUTPUT - self.tell())
        super().write(text[:room])
        self.dropped += max(0, len(text) - room)
        return len(text)


class Shell:
    """IPython without a terminal, history or a kernel."""

    def __init__(self):
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "NoColor"
        self.shell = InteractiveShell.instance(config=config)
        self.shell._showtraceback = self._note
        self.shell.enable_gui = lambda gui=None: None  # there is no window
        self.problem = None

    def _note(self, kind, value, lines):
        self.problem = {
            "output_type": "error",
            "ename": str(getattr(kind, "__name__", kind)),
            "evalue": str(value)[:2000],
            "traceback": [str(line)[:5000] for line in lines][-12:],
        }

    def cell(self, code: str) -> dict:
        """Run one cell and return its outputs, the last of them its error if it has one."""
        from IPython.utils.capture import capture_output

        self.problem = None
        out, err = Kept(), Kept()
        with capture_output(stdout=False, stderr=False, display=True) as rich:
            old, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), out, err
            try:
                self.shell.run_cell(code)
            finally:
                sys.stdout, sys.stderr = old
        outputs = []
        for name, stream in (("stdout", out), ("stderr", err)):
            text = stream.getvalue()
            if text:
                more = f"\n[{stream.dropped} more characters]" if stream.dropped else ""
                outputs.append({"output_type": "stream", "name": name, "text": text + more})
        room = PICTURES
        for item in rich.outputs:
            data = {str(kind): text for kind, text in item.data.items() if isinstance(text, str)}
            room -= sum(map(len, data.values()))
            if room >= 0 and data:
                outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
        if self.problem:
            outputs.append(self.problem)
        return {"outputs": outputs, "dropped": out.dropped + err.dropped}

    def answer(self, name: str, arguments: str | None) -> dict:
        """Return the value of a name, or what it returns when called, as plain data."""
        from claimbook.coursework import plain

        sink = Kept()
        try:
            if name not in self.shell.user_ns:
                raise NameError(f"there is no {name}")
            value = self.shell.user_ns[name]
            if arguments is not None:
                positional, named = plain.decode(arguments)
                old, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), sink, sink
                try:
                    value = value(*positional, **named)
                finally:
                    sys.stdout, sys.stderr = old
            return {"value": plain.encode(value), "dropped": sink.dropped}
        except BaseException as problem:
            return {"error": [type(problem).__name__, str(problem)[:2000]], "dropped": sink.dropped}


def main() -> None:
    settings = json.loads(sys.argv[1])
    reading, writing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    fonts, there = settings["fonts"], os.environ.get("MPLCONFIGDIR")
    if fonts and there:  # a list of fonts takes seconds to make
        shutil.copytree(fonts, there, dirs_exist_ok=True)
    limit(settings["memory"], settings["file_size"], settings["cpu"])
    requests: queue.Queue = queue.Queue()

    def listen():
        for line in reading:
            request = json.loads(line)
            if request["op"] == "interrupt":
                _thread.interrupt_main()
            else:
                requests.put(request)
        os._exit(0)  # the grader is gone

    threading.Thread(target=listen, daemon=True).start()
    shell = Shell()
    while True:
        try:
            request = requests.get()
            number = request["number"]
            try:
                if request["op"] == "cell":
                    reply = shell.cell(request["code"])
                else:
                    reply = shell.answer(request["name"], request.get("arguments"))
            except BaseException as problem:
                reply = {"error": [type(problem).__name__, str(problem)[:2000]], "outputs": []}
            writing.write(json.dumps({"number": number, **reply}).encode() + b"\n")
        except KeyboardInterrupt:  # came too late
            continue


if __name__ == "__main__":
    main()

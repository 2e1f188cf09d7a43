"""``python -m claimbook COMMAND``: what the Makefile's targets for authors call."""

from __future__ import annotations

import argparse
import sys

from claimbook.claims import RegistryError, registry
from claimbook.commands.chapter import CannotLayOut
from claimbook.commands.pdf import CannotPrint
from claimbook.evidence.errors import EvidenceError


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 something did not hold, 2 asked for wrongly."""
    parser = argparse.ArgumentParser(
        prog="python -m claimbook", description="Run, freeze and verify chapters."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("run", "execute one chapter or primer and store it"),
        ("freeze", "fix its bands on calibration seeds"),
    ):
        commands.add_parser(name, help=text).add_argument("chapter")
    commands.choices["freeze"].add_argument("--seeds", type=int, default=20)
    rules = commands.add_parser("rules", help="say what a chapter still lacks")
    rules.add_argument(
        "chapter", nargs="?", default=None, help="one chapter or primer; all written ones by default"
    )
    trust = commands.add_parser("trust", help="repeat chapters under verification seeds")
    trust.add_argument("--chapter", default=None, help="one chapter; all written ones by default")
    trust.add_argument("--seeds", type=int, default=20)
    machines = commands.add_parser("machines", help="run chapters as other machines would")
    machines.add_argument("--chapter", default=None, help="one chapter; all written ones by default")
    machines.add_argument("--as", dest="names", action="append", help="only this machine")
    for command in (trust, commands.choices["freeze"]):
        command.add_argument("--cluster", metavar="ADDRESS", help="a Dask scheduler, as tcp://host:8786")
    commands.add_parser("pdf", help="print the built book into one PDF")
    chapter = commands.add_parser("chapter", help="lay out a chapter from its row of the map")
    chapter.add_argument("chapter")
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace") if hasattr(stream, "reconfigure") else None
    try:
        return _call(options)
    except (RegistryError, EvidenceError, FileNotFoundError, CannotPrint, CannotLayOut) as problem:
        print(problem, file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"{problem.strerror or problem}: {problem.filename or 'the disk'}. What was stored stands as it was; "
              "make room or make the folder writable, and try again.", file=sys.stderr)  # fmt: skip
        return 2
    except KeyboardInterrupt:
        print("Interrupted. Nothing was changed, but runs that had ended are kept.", file=sys.stderr)
        return 130
    except Exception as problem:
        sentence = _of_the_kernel(problem)
        if sentence is None:
            raise
        print(sentence, file=sys.stderr)
        return 2


def _of_the_kernel(problem: Exception) -> str | None:
    """Return what to say of a cell that failed or of a kernel that died, or None for other errors."""
    kind = type(problem).__name__
    if kind == "CellExecutionError":
        return f"{str(problem).strip()}\nThe stored notebook stands as it was."
    if kind == "DeadKernelError":
        return (
            "The kernel died: most often there was not enough memory. The stored notebook stands as it was; "
            "close other programs and try again."
        )
    return None


def _call(options: argparse.Namespace) -> int:
    if options.command == "run":
        from claimbook.commands.run import run

        print(f"stored {run(options.chapter)}")
        return 0
    if options.command == "freeze":
        from claimbook.commands.freeze import freeze
        from claimbook.commands.sweep import on_cluster

        registry()[options.chapter]  # a primer has nothing to freeze
        with on_cluster(options.cluster):
            revision = freeze(options.chapter, options.seeds)
        print(f"frozen, revision {revision['revision']}: {revision['verdict']}")
        return 0
    if options.command == "pdf":
        from claimbook.commands.pdf import pdf

        print(pdf())
        return 0
    if options.command == "chapter":
        from claimbook.commands.chapter import lay_out

        print(lay_out(options.chapter))
        return 0
    from claimbook.commands.execute import notebook_path, written, written_primers

    chapters = [options.chapter] if options.chapter else written()
    if options.command == "rules":
        from claimbook.commands.rules import problems

        chapters += [] if options.chapter else written_primers()
        for chapter in chapters:
            notebook_path(chapter)
        found = [f"{chapter}: {problem}" for chapter in chapters for problem in problems(chapter)]
        print("\n".join(found) or f"{', '.join(chapters)}: nothing is wrong")
        return int(bool(found))
    for chapter in chapters:
        registry()[chapter]  # a primer has nothing to repeat
    if options.command == "machines":
        from claimbook.commands.machines import MACHINES, machines

        unknown = sorted(set(options.names or []) - set(MACHINES))
        if unknown:
            print(f"There is no machine {unknown[0]!r}: {', '.join(MACHINES)}.", file=sys.stderr)
            return 2
        return int(machines(chapters, options.names) > 0)
    from claimbook.commands.sweep import on_cluster
    from claimbook.commands.trust import trust

    with on_cluster(options.cluster):
        return int(trust(chapters, options.seeds) > 0)


if __name__ == "__main__":
    sys.exit(main())

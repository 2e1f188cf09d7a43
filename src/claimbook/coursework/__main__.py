"""``python -m claimbook.coursework COMMAND``: what the Makefile's targets for instructors call."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import zipfile
from pathlib import Path

import nbformat

from claimbook.coursework import collect, grade, source
from claimbook.coursework.mark import mark
from claimbook.coursework.sandbox import NoSandbox, unavailable
from claimbook.evidence.lock import write_atomically

ROOT = Path(__file__).resolve().parents[3]
STORED = ROOT / "assignments" / "_static" / "coursework"
PRACTICE = "practice"  # the salt of the notebooks that the site offers


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 something did not hold, 2 asked for wrongly."""
    parser = argparse.ArgumentParser(
        prog="python -m claimbook.coursework", description="Make, solve and grade assignments."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("assignments", help="make the notebooks that students get")
    make.add_argument("--store", action="store_true", help="for the book's site, with the salt of practice")
    solve = commands.add_parser("solutions", help="run the solutions and see that they earn all points")
    batch = commands.add_parser("grade", help="grade submissions")
    batch.add_argument("submissions", type=Path, help="a folder, or the zip that Canvas or Moodle exports")
    batch.add_argument("--assignment", required=True, metavar="ID")
    batch.add_argument("--roster", type=Path, metavar="FILE", help="a CSV with the column id")
    batch.add_argument("--due", type=_moment, metavar="TIME", help="as 2027-02-01T23:59")
    batch.add_argument("--student", metavar="ID", help="grade this student again")
    batch.add_argument("--problem", metavar="P", help="grade only this problem again")
    batch.add_argument(
        "--jobs", type=int, metavar="N", help="how many run at once; the cores at hand by default"
    )
    batch.add_argument("--unsandboxed", default="", metavar=f"'{grade.UNWALLED}'", help="run without walls")
    for command in (make, solve, batch):
        command.add_argument(
            "--from", dest="folder", type=Path, metavar="FOLDER", help="source notebooks of your own"
        )
        command.add_argument("--course", type=Path, default=ROOT / "grading", metavar="FOLDER",
                             help="the course's settings, gradebook and feedback")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        return {"assignments": _assignments, "solutions": _solutions, "grade": _grade}[options.command](
            options
        )
    except (source.BadSource, collect.BadSubmissions, grade.BadCourse, NoSandbox) as problem:
        print(problem, file=sys.stderr)
        return 2


def _moment(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2027-02-01T23:59") from None


def _sources(options) -> dict[str, source.Assignment]:
    """Return the assignments: the book's, and those of a folder, which go before them."""
    found = source.folder()
    return found | source.folder(options.folder) if options.folder else found


def _salt(options) -> str:
    there = (options.course / "course.toml").exists()
    return grade.settings(options.course).course.salt if there else PRACTICE


def _assignments(options) -> int:
    if options.store:
        for name, assignment in source.folder().items():
            made = source.student_version(assignment, PRACTICE)
            write_atomically(STORED / f"{name}.ipynb", nbformat.writes(made) + "\n")
        print(STORED)
        return 0
    folder, salt = ROOT / "_build" / "assignments", _salt(options)
    for old in folder.glob("*.ipynb") if folder.is_dir() else ():
        old.unlink()
    found = source.folder(options.folder) if options.folder else _sources(options)
    for name, assignment in found.items():
        write_atomically(
            folder / f"{name}.ipynb", nbformat.writes(source.student_version(assignment, salt)) + "\n"
        )
    with zipfile.ZipFile(folder / "assignments.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in found:
            archive.write(folder / f"{name}.ipynb", f"{name}.ipynb")
    for name, assignment in found.items():
        print(f"{name}: {assignment.points:g} points")
    print(f"{folder} and {folder / 'assignments.zip'}, with the salt {salt!r}")
    return 0


def _solutions(options) -> int:
    folder, bad = ROOT / "_build" / "solutions", 0
    walled = unavailable() is None  # a solution is not a stranger's
    course = grade.Course(_salt(options), "practice")
    for name, assignment in _sources(options).items():
        solved = mark(assignment, course, "ada", assignment.notebook, walled=walled)
        empty = mark(
            assignment, course, "ada", source.student_version(assignment, course.salt), walled=walled
        )
        earned, possible = (sum(pair[k] for pair in solved.scores.values()) for k in (0, 1))
        nothing = sum(pair[0] for pair in empty.scores.values())
        lost = [cell for cell, (got, full) in solved.scores.items() if got < full]
        by_hand = assignment.points - possible
        print(
            f"{name}: the solution earns {earned:g} of {possible:g} points and {by_hand:g} by hand, in "
            f"{solved.seconds:.1f} s; nothing written earns {nothing:g}"
            + (f"; lost in {', '.join(lost)}" if lost else "")
        )
        bad += earned != possible or nothing != 0
        write_atomically(folder / f"{name}.ipynb", nbformat.writes(solved.notebook) + "\n")
    print(folder)
    return int(bad > 0)


def _grade(options) -> int:
    found = _sources(options)
    if options.assignment not in found:
        raise source.BadSource(f"There is no assignment {options.assignment!r}: {', '.join(found)}.")
    if options.unsandboxed not in ("", grade.UNWALLED):
        raise NoSandbox(
            f"To run submissions without a sandbox, say --unsandboxed '{grade.UNWALLED}', in these words."
        )
    assignment = found[options.assignment]
    results = grade.grade(
        options.submissions,
        assignment,
        options.course.resolve(),
        students=collect.roster(options.roster) if options.roster else None,
        due=options.due,
        only_student=options.student,
        only_problem=options.problem,
        jobs=options.jobs,
        walled=not options.unsandboxed,
    )
    for row in results:
        score = "-" if row.score is None else f"{row.score:g}"
        late = f"  {row.late} days late (-{row.penalty:g})" if row.late else ""
        hand = f"  by hand: {', '.join(row.by_hand)}" if row.by_hand else ""
        print(f"{row.student:20} {score:>5} of {row.possible:g}{late}{hand}")
        for flag in row.flags:
            print(f"{'':20}  look: {flag}"[:300].encode("ascii", "backslashreplace").decode())
    print(f"{options.course / 'summary' / (assignment.id + '.html')}, feedback and gradebook beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())

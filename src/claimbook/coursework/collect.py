"""Finds each student's notebook in a folder, or in the zip that Canvas or Moodle exports. Writes nothing.

File names come from students and are never used as paths: from a zip, bytes are read by entry; in a folder,
symbolic links are not followed.
"""

from __future__ import annotations

import csv
import datetime as dt
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import nbformat
import nbformat.validator

from claimbook.coursework.source import Assignment, id_of

LARGEST = 20 * 2**20  # bytes of a notebook
MOST_CELLS = 2000
STUDENT = re.compile(r"[\w.@+-]{1,64}")
CANVAS = re.compile(r"(?P<who>[^_/]+)(?P<late>_LATE)?_(?P<id>\d+)_(?P<upload>\d+)_(?P<name>.+)")
MOODLE = re.compile(r"(?P<who>.+)_(?P<id>\d+)_assignsubmission_file(_.*)?")


class BadSubmissions(ValueError):
    """What was named as submissions, or as roster, cannot be read."""


@dataclass(frozen=True)
class Student:
    """A row of the roster. Canvas and Moodle name submissions by ids and names of their own."""

    id: str
    name: str = ""
    email: str = ""
    canvas_id: str = ""
    moodle_id: str = ""


@dataclass
class Submission:
    """A student's notebook, or the reason why there is none."""

    student: str
    file: str = ""
    notebook: nbformat.NotebookNode | None = None
    time: dt.datetime | None = None
    problem: str = ""
    flags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class File:
    """A file that was handed in: its path inside the folder or zip, when, and its bytes."""

    path: PurePosixPath
    time: dt.datetime | None
    size: int
    read: object  # a function that returns the bytes


def roster(path: Path) -> dict[str, Student]:
    """Read a roster: a CSV with the column ``id``, and ``name``, ``email``, ``canvas_id``, ``moodle_id`` if there.

    Raises
    ------
    BadSubmissions
        If it cannot be read, has no column ``id``, or names somebody twice.
    """
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise BadSubmissions(f"The roster {path} cannot be read: {problem}.") from None
    found: dict[str, Student] = {}
    for line, row in enumerate(rows, 2):
        clean = {(key or "").strip().lower().replace(" ", "_"): (text or "").strip() for key, text in row.items()
                 if isinstance(text, str)}  # fmt: skip
        if "id" not in clean:
            raise BadSubmissions(f"The roster {path} has no column named id.")
        who = clean["id"]
        if not STUDENT.fullmatch(who):
            raise BadSubmissions(f"{path}, line {line}: {who!r} cannot be a student's id.")
        if who in found:
            raise BadSubmissions(f"{path}, line {line}: the id {who} stands there twice.")
        found[who] = Student(
            who, *(clean.get(key, "") for key in ("name", "email", "canvas_id", "moodle_id"))
        )
    if not found:
        raise BadSubmissions(f"The roster {path} is empty.")
    return found


def collect(
    path: Path, assignment: Assignment, students: dict[str, Student] | None
) -> tuple[list[Submission], list[str]]:
    """Return a submission for each student, those who handed in nothing included, and the files of nobody.

    Parameters
    ----------
    path : Path
        A folder or a zip: ``<student>/<assignment>.ipynb``, ``<student>.ipynb``,
        ``<student>/<assignment>/<any>.ipynb`` (nbgrader), or as Canvas and Moodle name files.
    assignment : Assignment
    students : dict, optional
        The roster; without one, folders and files are named by student.
    """
    chosen: dict[str, list[File]] = {}
    nobody = []
    stamps: dict[str, dt.datetime] = {}
    for file in _files(path):
        who = _student(file.path, assignment, students)
        if file.path.name == "timestamp.txt" and who:
            stamp = _stamp(file)
            if stamp:
                stamps[who] = stamp
        elif file.path.suffix.lower() == ".ipynb":
            if who is None:
                nobody.append(str(file.path))
            else:
                chosen.setdefault(who, []).append(file)
        elif who is None and len(file.path.parts) == 1:
            nobody.append(str(file.path))
    found = []
    for who in sorted(set(chosen) | set(students or {})):
        files = chosen.get(who, [])
        if not files:
            found.append(Submission(who, problem="nothing was handed in"))
            continue
        named = [f for f in files if assignment.id in f.path.name] or files
        file = max(named, key=lambda f: (f.time or dt.datetime.min, str(f.path)))
        submission = _parsed(who, file, assignment)
        submission.time = stamps.get(who, file.time)
        if len(files) > 1:
            submission.flags.append(f"{len(files)} notebooks were handed in; {str(file.path)!r} was taken")
        if (canvas := CANVAS.fullmatch(file.path.name)) and canvas["late"]:
            submission.flags.append("Canvas calls it late")
        found.append(submission)
    return found, nobody


def _files(path: Path) -> Iterator[File]:
    if path.is_dir():
        for folder, folders, names in os.walk(path, followlinks=False):
            folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
            for name in sorted(names):
                full = Path(folder) / name
                if name.startswith(".") or full.is_symlink() or not full.is_file():
                    continue
                yield File(
                    PurePosixPath(full.relative_to(path).as_posix()),
                    dt.datetime.fromtimestamp(full.stat().st_mtime).replace(microsecond=0),
                    full.stat().st_size,
                    full.read_bytes,
                )
        return
    if not path.is_file():
        raise BadSubmissions(f"There are no submissions in {path}: it is neither a folder nor a zip file.")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as problem:
        raise BadSubmissions(f"{path} is not a zip file: {problem}.") from None
    for entry in archive.infolist():
        name = PurePosixPath(entry.filename.replace("\\", "/"))
        hidden = any(part == "__MACOSX" or (part[0] == "." and part != "..") for part in name.parts)
        if entry.is_dir() or hidden or not name.parts or name.is_absolute():
            continue
        yield File(name, _zip_time(entry), entry.file_size, lambda entry=entry: _unzipped(archive, entry))


def _zip_time(entry: zipfile.ZipInfo) -> dt.datetime | None:
    try:
        return dt.datetime(*entry.date_time)
    except ValueError:
        return None


def _unzipped(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        return file.read(LARGEST + 1)  # no more, whatever the entry says of its size


def _stamp(file: File) -> dt.datetime | None:
    try:
        text = file.read()[:100].decode().strip().removesuffix("UTC").strip()
        found = dt.datetime.fromisoformat(text.split(".")[0])
        return found.astimezone(dt.UTC).replace(tzinfo=None) if found.tzinfo else found
    except (ValueError, OSError, RuntimeError):
        return None


def _student(path: PurePosixPath, assignment: Assignment, students: dict[str, Student] | None) -> str | None:
    """Return whose file this is, or None."""
    known = students or {}
    for part in path.parts:
        stem = part.removesuffix(".ipynb")
        for word in (part, stem, re.sub(rf"[_-]{assignment.id}$", "", stem)):
            if word in known:
                return word
    if students:
        canvas = CANVAS.fullmatch(path.name)
        moodle = next(filter(None, map(MOODLE.fullmatch, path.parts[:-1])), None)
        for match, key in ((canvas, "canvas_id"), (moodle, "moodle_id")):
            if not match:
                continue
            same = [s.id for s in students.values() if getattr(s, key) == match["id"]]
            if not same:  # by name, if only one has it
                same = [s.id for s in students.values() if _squeezed(s.name) & _squeezed(match["who"])]
            if len(same) == 1:
                return same[0]
        return None
    first = path.parts[0]
    if len(path.parts) == 1:
        first = re.sub(rf"[_-]{assignment.id}$", "", first.removesuffix(".ipynb"))
    return first if STUDENT.fullmatch(first) else None


def _squeezed(name: str) -> set[str]:
    """Return a name as Canvas and Moodle squeeze it, family name first or last."""
    words = re.sub(r"[^\w\s]", "", name.casefold()).split()
    return {"".join(words), "".join(words[-1:] + words[:-1])} - {""}


def _parsed(who: str, file: File, assignment: Assignment) -> Submission:
    """Return the submission with its notebook, or with what is wrong with the file."""
    submission = Submission(who, str(file.path))
    if file.size > LARGEST:
        submission.problem = f"the file is larger than {LARGEST // 2**20} MiB"
        return submission
    try:
        text = file.read()
    except Exception as problem:  # zip files fail in many ways
        submission.problem = f"the file cannot be read: {problem}"
        return submission
    if not text.strip():
        submission.problem = "the file is empty"
        return submission
    try:
        with warnings.catch_warnings(action="ignore"):  # cells without ids, or with the same
            notebook = nbformat.reads(text.decode("utf-8-sig"), as_version=4)
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [], None
                cell.pop("attachments", None)
            _, notebook = nbformat.validator.normalize(notebook)
        nbformat.validate(notebook)
    except Exception:
        submission.problem = "the file is not a notebook"
        return submission
    known = {id_of(cell) for cell in assignment.notebook.cells}
    if not known & {id_of(cell) for cell in notebook.cells}:
        submission.problem = f"the notebook is not {assignment.id}: it has none of its cells"
        return submission
    if len(notebook.cells) > MOST_CELLS:
        submission.problem = f"the notebook has more than {MOST_CELLS} cells"
        return submission
    kernel = notebook.metadata.get("kernelspec", {})
    if isinstance(kernel, dict) and kernel.get("language", "python") != "python":
        submission.flags.append(f"the notebook asks for a kernel in {kernel.get('language')!r}")
    elif isinstance(kernel, dict) and kernel.get("name", "python3") != "python3":
        submission.flags.append(f"the notebook asks for the kernel {kernel.get('name')!r}")
    submission.notebook = notebook
    return submission

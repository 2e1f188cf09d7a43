"""Every command of the book: `python tasks.py COMMAND`. `make COMMAND` does the same.

Needs nothing but Python 3.11 or newer: it makes the environment `.venv` beside this file and installs what
the command needs, once. This file keeps to syntax that any Python can read, so that an old one gets a clear
sentence.

Read from the environment: PYTHON (the interpreter to make `.venv` with) and TORCH_INDEX (a further package
index to take PyTorch from).
"""

from __future__ import print_function

import sys

OLDEST = (3, 11)
if sys.version_info < OLDEST:
    sys.exit(
        "This book needs Python %d.%d or newer, and this is Python %d.%d: install a newer one and use that."
        % (OLDEST + tuple(sys.version_info[:2]))
    )

import argparse  # noqa: E402 - all that follows runs under a recent Python only
import functools  # noqa: E402
import glob  # noqa: E402
import hashlib  # noqa: E402
import http.server  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import shutil  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import xml.etree.ElementTree  # noqa: E402

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, "claimbook.json")  # which extras are installed, and from what
LOG = os.path.join(VENV, "install.log")
SITE = os.path.join(ROOT, "_build", "html")
RESULTS = os.path.join(ROOT, "_build", "tests")
TEXT = os.path.join(ROOT, "text")  # chapters as Python text, not kept in git
MUTANTS = os.path.join(ROOT, "mutants")  # copies of the code, changed on purpose, not kept in git
EXTRAS = ("book", "run", "test", "lab", "cluster", "grade", "mutation")


def stop(sentence):
    """End with exit code 1 and one sentence."""
    sys.stdout.flush()
    sys.exit(sentence)


def say(*words):
    print(*words)
    sys.stdout.flush()


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    """Write a file whole or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    os.replace(path + ".new", path)


def digest(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def seconds(start):
    return "%.0f s" % (time.time() - start)


# The environment


def python_in(venv):
    if os.name == "nt":
        return os.path.join(venv, "Scripts", "python.exe")
    return os.path.join(venv, "bin", "python")


def base_python():
    """Return the interpreter to make environments with; stop if it will not do."""
    python = os.environ.get("PYTHON") or sys.executable
    probe = (
        "import sys\n"
        "try:\n    import ensurepip, venv\nexcept ImportError:\n    print('novenv')\n"
        "else:\n    print('%d %d' % sys.version_info[:2])"
    )
    try:
        said = subprocess.check_output([python, "-c", probe], stderr=subprocess.DEVNULL).decode().split()
    except (OSError, subprocess.CalledProcessError):
        stop("PYTHON=%s does not run: name a Python %d.%d or newer." % ((python,) + OLDEST))
    if said == ["novenv"]:
        stop(
            "%s cannot make virtual environments: install its venv module "
            "(on Debian and Ubuntu: apt install python3-venv), then try again." % python
        )
    if tuple(int(part) for part in said) < OLDEST:
        stop("PYTHON=%s is Python %s: this book needs %d.%d or newer." % ((python, ".".join(said)) + OLDEST))
    return python


def make_venv(folder):
    say("Making an environment in %s" % (os.path.relpath(folder, ROOT) if folder == VENV else folder))
    python = base_python()
    try:
        failed = subprocess.call([python, "-m", "venv", "--clear", folder])
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if failed:
        shutil.rmtree(folder, ignore_errors=True)
        stop("No virtual environment could be made with %s." % python)


def fingerprint():
    """Return a hash of all that decides what an installation holds."""
    parts = [ROOT]
    for name in ("pyproject.toml", "constraints.txt"):
        parts.append(read(os.path.join(ROOT, name)))
    return digest("\0".join(parts))


def installed():
    """Return what the stamp says: (extras, fingerprint)."""
    try:
        stamp = json.loads(read(STAMP))
        return set(stamp["extras"]) & set(EXTRAS), stamp["fingerprint"]
    except (OSError, ValueError, KeyError):
        return set(), None


def venv_works():
    """Tell whether `.venv` runs and has pip; stop if its Python is too old."""
    try:
        said = subprocess.check_output(
            [python_in(VENV), "-c", "import pip, sys; print('%d %d' % sys.version_info[:2])"],
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    version = said.decode().split()
    if tuple(int(part) for part in version) < OLDEST:
        stop(
            "The environment .venv holds Python %s, and this book needs %d.%d or newer: "
            "remove the folder .venv and try again." % ((".".join(version),) + OLDEST)
        )
    return True


def pip_install(python, arguments, log):
    """Install quietly; on a terminal, show what is being fetched. On failure show the end of pip's words."""
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"] + arguments
    index = os.environ.get("TORCH_INDEX")
    if index:
        command += ["--extra-index-url", index]
    live = sys.stdout.isatty()
    lines = []
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    for line in process.stdout:
        lines.append(line)
        words = line.split()
        if live and words and words[0] in ("Collecting", "Downloading", "Installing"):
            sys.stdout.write("\r\033[K  " + " ".join(words)[:70])
            sys.stdout.flush()
    failed = process.wait()
    if live:
        sys.stdout.write("\r\033[K")
    write(log, "".join(lines))
    if failed:
        say("".join(lines[-30:]))
        stop("pip could not install the packages; its last words stand above, all of them in %s." % log)


def need(*extras):
    """Return the environment's Python, with at least these extras installed; instant when nothing changed."""
    have, made_from = installed()
    if not os.path.exists(VENV):
        make_venv(VENV)
        have = set()
    elif not venv_works():
        if made_from is None:
            stop("The environment .venv is not complete: remove the folder and try again.")
        say("The environment .venv no longer works; making it again.")
        make_venv(VENV)
    elif made_from == fingerprint() and have.issuperset(extras):
        return python_in(VENV)
    wanted = sorted(have.union(extras))
    patience = " (PyTorch is large, this can take minutes)" if "run" in wanted and "run" not in have else ""
    say("Installing packages into .venv for: %s%s" % (", ".join(wanted), patience))
    start = time.time()
    pip_install(python_in(VENV), ["-c", "constraints.txt", "-e", ".[%s]" % ",".join(wanted)], LOG)
    stamp = {"extras": wanted, "fingerprint": fingerprint()}
    write(STAMP, json.dumps(stamp, indent=1) + "\n")
    say("Installed in %s" % seconds(start))
    return python_in(VENV)


def environment(**changes):
    """Return the environment variables for a child process; a value of None removes one."""
    env = dict(os.environ, PYTHONUTF8="1", JUPYTER_PREFER_ENV_PATH="1")
    env.pop("PYTHONHOME", None)
    for name, value in changes.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


def repeatable(**changes):
    """Return an environment in which one seed gives the same bytes: one thread, no personal settings."""
    settings = {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": None,
        "IPYTHONDIR": os.path.join(VENV, "ipython"),
    }
    settings.update(changes)
    return environment(**settings)


def call(command, env=None, stdout=None):
    """Run a command in the book's folder and return its exit code."""
    sys.stdout.flush()
    return subprocess.call(command, cwd=ROOT, env=env or environment(), stdout=stdout)


# Chapters


def chapters():
    """Return {id: path of the notebook}."""
    found = sorted(glob.glob(os.path.join(ROOT, "book", "*", "*.ipynb")))
    return {os.path.splitext(os.path.basename(path))[0]: path for path in found}


def one_or_more(command, ids):
    """Check chapter ids and return {id: path}; stop with a sentence that lists the known ones."""
    known = chapters()
    listed = ", ".join(sorted(known)) or "none yet"
    if not ids:
        stop(
            "Name a chapter: `make %s CHAPTER=ID` or `python tasks.py %s ID`. Chapters: %s."
            % (command, command, listed)
        )
    for chapter in ids:
        if chapter not in known:
            stop("There is no chapter %r. Chapters: %s." % (chapter, listed))
    return {chapter: known[chapter] for chapter in ids}


# Reading


BUILD = """
import sys
from jupyter_book.cli.main import main
try:
    main(prog_name="jupyter-book")
except RuntimeError:  # the reason has been told
    sys.exit(1)
"""


def build(python, fresh):
    """Build the site, warnings as errors, and return the exit code."""
    command = [python, "-c", BUILD, "build", ".", "-W", "-n", "--keep-going", "-q"]
    if fresh:
        command.append("--all")
    failed = call(command, stdout=subprocess.DEVNULL)  # its greetings; warnings go to stderr
    if failed:
        # Sphinx forgets the warnings of pages that it has already read: make it read them again next time.
        shutil.rmtree(os.path.join(ROOT, "_build", ".doctrees"), ignore_errors=True)
    return failed


def book(options):
    """Build the site."""
    python = need("book")
    say("Building the book")
    start = time.time()
    if build(python, fresh=False):
        stop("The book did not build: the reasons stand above (a warning is one, too).")
    say(
        "Built in %s. Read it: open %s in a browser, or run `make serve` (`python tasks.py serve`)."
        % (seconds(start), os.path.join(SITE, "index.html"))
    )


class Pages(http.server.SimpleHTTPRequestHandler):
    """Serves the built site, never from a browser's cache."""

    def end_headers(self):
        self.send_header("Cache-Control", "no-cache")
        http.server.SimpleHTTPRequestHandler.end_headers(self)

    def log_message(self, *arguments):
        pass


def serve(options):
    """Serve the site to this machine only."""
    if not os.path.exists(os.path.join(SITE, "index.html")):
        book(options)
    try:
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", options.port), functools.partial(Pages, directory=SITE)
        )
    except (OSError, OverflowError):
        stop("Port %d cannot be used: choose another, `make serve PORT=8001`." % options.port)
    say("The book is at http://127.0.0.1:%d (stop with Ctrl-C)" % server.server_address[1])
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say("")


def pdf(options):
    """Print the whole book into one PDF, through the browser that the tests use."""
    python = need("book", "test")
    book(options)
    say("Printing it (some minutes)")
    sys.exit(claimbook(python, ["pdf"], environment()))


# Running and editing


def claimbook(python, arguments, env):
    """Run one command of the package and return its exit code."""
    return call([python, "-m", "claimbook"] + arguments, env)


def chapter(options):
    """Lay out chapters from their rows of the map."""
    if not options.ids:
        stop(
            "Name an open row of the map: `make chapter ID=...` or `python tasks.py chapter ID`. "
            "The map is in book/map.md and src/claimbook/claims.yml."
        )
    python = need("run")
    sys.exit(max([claimbook(python, ["chapter", row], environment()) for row in options.ids]))


def run(options):
    """Run chapters and store them."""
    ids = one_or_more("run", options.ids)
    python = need("run")
    env = repeatable(CLAIMBOOK_SEED=None, TQDM_DISABLE="1")
    sys.exit(max([claimbook(python, ["run", chapter], env) for chapter in ids]))


def freeze(options):
    """Freeze what a chapter's checks expect, before anyone looks at its verification seeds."""
    ids = one_or_more("freeze", options.ids)
    seeds = ["--seeds", str(options.seeds)] if options.seeds else []
    python, cluster = workers(options)
    commands = [["freeze", chapter] + seeds + cluster for chapter in ids]
    sys.exit(max([claimbook(python, command, repeatable()) for command in commands]))


def trust(options):
    """Repeat chapters under many seeds."""
    seeds = ["--seeds", str(options.seeds)] if options.seeds else []
    which = [[]]
    if options.chapter:
        which = [["--chapter", chapter] for chapter in one_or_more("trust", options.chapter)]
    python, cluster = workers(options)
    commands = [["trust"] + seeds + chapter + cluster for chapter in which]
    sys.exit(max([claimbook(python, command, repeatable()) for command in commands]))


def machines(options):
    """Run chapters as other machines would, or with the newest packages, and compare with what is stored."""
    which = [[]]
    if options.chapter:
        which = [["--chapter", chapter] for chapter in one_or_more("machines", options.chapter)]
    env = repeatable(CLAIMBOOK_SEED=None, PYTHONPATH=None)
    if options.newest:
        python, more = newest(), ["--as", "as it is"]
        env["PYTHONPATH"] = os.path.join(ROOT, "src")
    else:
        python, more = need("run"), []
    sys.exit(max([claimbook(python, ["machines"] + chapter + more, env) for chapter in which]))


def newest():
    """Make an environment with the newest packages that run chapters, and return its interpreter."""
    venv = os.path.join(ROOT, "_build", "newest")
    shutil.rmtree(venv, ignore_errors=True)
    make_venv(venv)
    say("Installing the newest packages (minutes)")
    wanted = [re.sub("==.*", "", name) for name in requirements(("run",))]
    pip_install(python_in(venv), ["--upgrade"] + wanted, os.path.join(ROOT, "_build", "newest.log"))
    return python_in(venv)


def workers(options):
    """Return the interpreter, and what tells a command where its runs are made."""
    if options.cluster:
        return need("run", "cluster"), ["--cluster", options.cluster]
    return need("run"), []


def assignments(options):
    """Make the notebooks that students get."""
    sys.exit(coursework("assignments", options, ["--store"] if options.store else []))


def solutions(options):
    """Run the solutions of assignments, and see that they earn all points."""
    sys.exit(coursework("solutions", options))


def grade(options):
    """Grade submissions of an assignment."""
    more = [os.path.abspath(options.submissions)]
    for name in ("assignment", "due", "student", "problem", "jobs", "unsandboxed"):
        if getattr(options, name):
            more += ["--" + name, getattr(options, name)]
    if options.roster:
        more += ["--roster", os.path.abspath(options.roster)]
    sys.exit(coursework("grade", options, more))


def coursework(command, options, more=()):
    """Run a command of `claimbook.coursework` and return its exit code."""
    words = [need("run", "grade"), "-m", "claimbook.coursework", command] + list(more)
    for flag, folder in (("--from", options.folder), ("--course", options.course)):
        if folder:
            words += [flag, os.path.abspath(folder)]
    return call(words, repeatable(CLAIMBOOK_SEED=None))


def bench(options):
    """Measure how fast ensembles of networks train; exit with 1 if a floor is missed."""
    command = [need("run"), os.path.join(ROOT, "benchmarks", "ensembles.py")]
    sys.exit(call(command + (["--store"] if options.store else []), repeatable()))


def lab(options):
    """Open the chapters in JupyterLab."""
    python = need("run", "lab")
    sys.exit(call([python, "-m", "jupyterlab", "--ServerApp.root_dir=book"]))


def sources(path):
    """Return a hash of what an author writes in a notebook: cells and their metadata, not the outputs."""
    cells = json.loads(read(path))["cells"]
    written = [[cell["cell_type"], cell["source"], cell.get("metadata")] for cell in cells]
    return digest(json.dumps(written, sort_keys=True))


def written_state():
    path = os.path.join(TEXT, ".written.json")
    return json.loads(read(path)) if os.path.exists(path) else {}


def remember(chapter, notebook, text):
    """Note what both forms of a chapter look like while they agree, so that no edit is overwritten later."""
    state = written_state()
    state[chapter] = {"notebook": sources(notebook), "text": digest(read(text))}
    write(os.path.join(TEXT, ".written.json"), json.dumps(state, indent=1, sort_keys=True) + "\n")


def text_of(chapter):
    """Return (path of the text, whether it was edited since it agreed with the notebook)."""
    path = os.path.join(TEXT, chapter + ".py")
    if not os.path.exists(path):
        return path, False
    state = written_state().get(chapter, {})
    return path, digest(read(path)) != state.get("text")


def text(options):
    """Write chapters as Python text, to edit in any editor."""
    wanted = one_or_more("text", options.ids)
    python = need("run")
    for chapter, notebook in wanted.items():
        path, edited = text_of(chapter)
        if edited and not options.force:
            stop(
                "text/%s.py holds edits that are not in the notebook: bring them in with "
                "`make notebook CHAPTER=%s`, or delete the file." % (chapter, chapter)
            )
        os.makedirs(TEXT, exist_ok=True)
        if call([python, "-m", "jupytext", "--quiet", "--to", "py:percent", notebook, "-o", path]):
            stop("jupytext could not read %s." % notebook)
        remember(chapter, notebook, path)
        say("Edit text/%s.py, then `make notebook CHAPTER=%s`." % (chapter, chapter))


def notebook(options):
    """Bring edited text back into the notebooks: cell ids, tags and outputs stay."""
    wanted = one_or_more("notebook", options.ids)
    python = need("run")
    for chapter, notebook in wanted.items():
        path = text_of(chapter)[0]
        if not os.path.exists(path):
            stop("There is no text/%s.py: write it with `make text CHAPTER=%s`." % (chapter, chapter))
        state = written_state().get(chapter, {})
        if state.get("notebook") != sources(notebook) and not options.force:
            stop(
                "%s was edited since text/%s.py was written from it: to overwrite those edits, "
                "`python tasks.py notebook %s --force`." % (os.path.relpath(notebook, ROOT), chapter, chapter)
            )
        with tempfile.TemporaryDirectory(dir=TEXT) as folder:
            copy = os.path.join(folder, chapter + ".ipynb")
            shutil.copyfile(notebook, copy)
            if call([python, "-m", "jupytext", "--quiet", "--to", "ipynb", "--update", path, "-o", copy]):
                stop("jupytext could not read text/%s.py; the notebook is as it was." % chapter)
            os.replace(copy, notebook)
        remember(chapter, notebook, path)
        say("%s is updated; run it: `make run CHAPTER=%s`." % (os.path.relpath(notebook, ROOT), chapter))


# Testing


def counts(results):
    """Return (passed, failed) from a JUnit file; (0, 0) if there is none."""
    passed = failed = 0
    if os.path.exists(results):
        for suite in xml.etree.ElementTree.parse(results).iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            failed += bad
            passed += max(0, int(suite.get("tests", 0)) - bad - int(suite.get("skipped", 0)))
    return passed, failed


def pytest(python, name, arguments, env):
    """Run pytest and return (exit code, passed, failed)."""
    results = os.path.join(RESULTS, name + ".xml")
    if os.path.exists(results):
        os.remove(results)
    failed = call([python, "-m", "pytest", "-q", "--junitxml", results] + arguments, env)
    return (failed,) + counts(results)


def lint_step(python, fix=False):
    check, form = (["check", "--fix"], ["format"]) if fix else (["check"], ["format", "--check"])
    worst = max([call([python, "-m", "ruff"] + words + ["."]) for words in (check, form)])
    return worst, 0, 0


def unit_step(python, env):
    return pytest(
        python,
        "unit",
        ["tests", "--ignore=tests/site", "-m", "not browser", "-n", "2", "--dist", "worksteal"],
        env,
    )


def notebooks_step(python, env, paths):
    arguments = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", "tests/nbval.cfg"]
    arguments += ["--nbval-cell-timeout", "600", "-n", "2", "--dist", "loadfile", "-p", "no:randomly"]
    return pytest(python, "notebooks", arguments + paths, env)


def lint(options):
    """Check the code's style; with --fix, mend what can be mended."""
    failed = lint_step(need("test"), options.fix)[0]
    if failed:
        stop("Ruff has complaints, they stand above; `python tasks.py lint --fix` mends many.")


def notebooks(options):
    """Run chapters and compare every output with the stored one."""
    paths = list(one_or_more("notebooks", options.ids).values()) if options.ids else ["book"]
    python = need("run", "test")
    sys.exit(notebooks_step(python, repeatable(TQDM_DISABLE="1"), paths)[0])


def test(options):
    """Test everything, in the order in which faults are cheapest to find."""
    python = need("book", "run", "test", "cluster", "grade")
    env = repeatable(CLAIMBOOK_SEED=None, TQDM_DISABLE="1")
    steps = [
        ("lint", lambda: lint_step(python)),
        ("unit", lambda: unit_step(python, env)),
        ("notebooks", lambda: notebooks_step(python, env, ["book"])),
        ("build", lambda: (build(python, fresh=True), 0, 0)),
        ("site", lambda: pytest(python, "site", ["tests/site", "-n", "2", "--dist", "worksteal"], env)),
    ]
    total_passed = total_failed = 0
    broken = None
    done = []
    for name, step in steps:
        say("== %s" % name)
        start = time.time()
        code, passed, failed = step()
        if code and not failed:
            failed = 1  # a step without tests of its own, or one that could not even start
        total_passed += passed
        total_failed += failed
        done.append("%s %s" % (name, seconds(start)))
        if code:
            broken = name
            break
    say("")
    say("Time: " + ", ".join(done))
    if broken:
        left = [name for name, _ in steps[len(done) :]]
        say("The step `%s` failed%s." % (broken, "; not run: " + ", ".join(left) if left else ""))
    say("%d passed, %d failed" % (total_passed, total_failed))
    sys.exit(1 if broken else 0)


# Testing the tests

FLOORS = {"evidence": 95}  # percent of the mutants that the tests must notice; 85 where nothing is said
FLOOR = 85
NOTICED = (1, 3, 24, -24, 36, 152, 255)  # mutmut's exit codes: a test failed, pytest broke off, out of time


def kills(folder):
    """Return {module: (killed, all)} from what mutmut wrote down, for modules with mutants."""
    found = {}
    for path in glob.glob(os.path.join(folder, "src", "claimbook", "**", "*.py.meta"), recursive=True):
        codes = list(json.loads(read(path))["exit_code_by_key"].values())
        name = os.path.relpath(path, os.path.join(folder, "src", "claimbook"))[: -len(".py.meta")]
        if codes:
            found[name.replace(os.sep, ".")] = (sum(code in NOTICED for code in codes), len(codes))
    return found


def mutants(options):
    """Change the code on purpose, one thing at a time, and count how often the tests notice (takes an hour or more)."""
    if os.name == "nt":
        stop("The tool behind this, mutmut, runs on Linux and macOS only (on Windows: under WSL).")
    python = need("run", "test", "mutation")
    shutil.rmtree(MUTANTS, ignore_errors=True)
    env = repeatable(CLAIMBOOK_MODE=None, CLAIMBOOK_SEED=None, PYTHONPATH=None)  # the copy is to be imported
    log = os.path.join(ROOT, "_build", "mutants.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "w") as output:
        failed = call([python, "-m", "mutmut", "run"], env, stdout=output)
    found = kills(MUTANTS)
    if failed or not found:
        stop("mutmut did not get through: %s says why." % os.path.relpath(log, ROOT))
    packages = {}
    for module, (killed, total) in sorted(found.items()):
        say("%-22s %4d of %4d killed" % (module, killed, total))
        before = packages.get(module.partition(".")[0], (0, 0))
        packages[module.partition(".")[0]] = (before[0] + killed, before[1] + total)
    low = []
    for package, (killed, total) in packages.items():
        floor = FLOORS.get(package, FLOOR)
        say("%s: %.1f%% killed, at least %d%% wanted" % (package, 100.0 * killed / total, floor))
        if 100 * killed < floor * total:
            low.append(package)
    if low:
        stop("Too many survive in %s: `mutmut results` names them." % ", ".join(low))


# Housekeeping

LOCK_HEADER = """\
# Written by `make lock`: the version of every package that the book needs, for Python %s and newer.
# A constraint binds only what is installed, so the packages of one platform do no harm on another.
"""
NOT_LOCKED = re.compile(
    r"(?i)(claimbook|pip|setuptools|wheel|triton|(nvidia|cuda)-.*|pywin.*|colorama|appnope)$"
)


def requirements(extras=None):
    """Return all that pyproject.toml asks for with these extras, by default with every one."""
    import tomllib

    project = tomllib.loads(read(os.path.join(ROOT, "pyproject.toml")))["project"]
    optional = project["optional-dependencies"]
    return sum((optional[extra] for extra in extras or optional), project["dependencies"])


def pins(report):
    """Turn pip's installation report into constraints that hold on every platform."""
    kept = []
    for package in report["install"]:
        name, version = package["metadata"]["name"], package["metadata"]["version"]
        if not NOT_LOCKED.match(name):
            kept.append("%s==%s" % (name, version.partition("+")[0]))
    return sorted(kept, key=str.lower)


def lock(options):
    """Resolve all packages afresh, for the oldest Python that will do, and write constraints.txt."""
    oldest = "%d.%d.0" % OLDEST
    with tempfile.TemporaryDirectory() as folder:
        make_venv(os.path.join(folder, "venv"))
        python = python_in(os.path.join(folder, "venv"))
        say("Resolving all packages (minutes)")
        report = os.path.join(folder, "report.json")
        # Nothing is installed; a target folder is what lets pip resolve for another Python than its own.
        arguments = ["--dry-run", "--ignore-installed", "--report", report, "--target", folder]
        arguments += ["--python-version", oldest, "--only-binary", ":all:"]
        pip_install(python, arguments + requirements(), os.path.join(ROOT, "_build", "lock.log"))
        lines = pins(json.loads(read(report)))
    write(os.path.join(ROOT, "constraints.txt"), LOCK_HEADER % oldest + "\n".join(lines) + "\n")
    say("constraints.txt names %d packages." % len(lines))


def clean(options):
    """Remove what the commands made: site, test results, caches; with --all, the environment too."""
    doomed = ["_build", "build", "dist", "mutants", ".pytest_cache", ".ruff_cache", ".jupyter_cache"]
    for pattern in (
        "__pycache__",
        "src/**/__pycache__",
        "tests/**/__pycache__",
        "book/**/.ipynb_checkpoints",
    ):
        doomed += glob.glob(os.path.join(ROOT, pattern), recursive=True)
    if options.all:
        doomed += [".venv"] + glob.glob(os.path.join(ROOT, "src", "*.egg-info"))
    for path in doomed:
        path = os.path.join(ROOT, path)
        if os.path.islink(path):
            os.remove(path)
        else:
            shutil.rmtree(path, ignore_errors=True)


def commands():
    """Return the argument parser."""
    parser = argparse.ArgumentParser(
        prog="python tasks.py", description="Deep Learning, Claim by Claim: all commands of the book."
    )
    names = parser.add_subparsers(dest="command", metavar="COMMAND")

    def add(function, summary, ids=None):
        command = names.add_parser(function.__name__, help=summary, description=summary)
        if ids:
            command.add_argument("ids", metavar="ID", nargs="*", help=ids)
        command.set_defaults(function=function)
        return command

    add(book, "build the site in _build/html (stored outputs, no torch)")
    add(serve, "serve the site on this machine").add_argument("--port", type=int, default=8000)
    add(pdf, "print the whole book into _build/pdf/claimbook.pdf")
    add(test, "test everything: style, units, notebooks, site")
    add(lab, "open the chapters in JupyterLab")
    add(chapter, "lay out a new chapter from its row of the map", ids="open rows of the map")
    add(run, "run a chapter and store it", ids="chapters")
    for function, summary in (
        (text, "write a chapter as Python text to text/ID.py, for editing"),
        (notebook, "bring text/ID.py back into the chapter"),
    ):
        add(function, summary, ids="chapters").add_argument(
            "--force", action="store_true", help="overwrite edits"
        )
    command = add(freeze, "freeze what a chapter's checks expect", ids="chapters")
    command.add_argument("--seeds", type=int, help="how many calibration seeds")
    command.add_argument("--cluster", metavar="ADDRESS", help="a Dask scheduler, as tcp://host:8786")
    command = add(trust, "repeat chapters under many seeds")
    command.add_argument("--seeds", type=int, help="how many verification seeds")
    command.add_argument("--chapter", action="append", metavar="ID", help="only this chapter")
    command.add_argument("--cluster", metavar="ADDRESS", help="a Dask scheduler, as tcp://host:8786")
    command = add(machines, "run chapters as other machines would, and compare")
    command.add_argument("--chapter", action="append", metavar="ID", help="only this chapter")
    command.add_argument("--newest", action="store_true", help="with the newest packages")
    command = add(assignments, "make the notebooks that students get, in _build/assignments")
    command.add_argument("--store", action="store_true", help="keep them for the book's site")
    make = [command, add(solutions, "run the solutions of assignments, which earn all points")]
    command = add(grade, "grade submissions (needs Linux and bubblewrap)")
    command.add_argument("submissions", help="a folder, or the zip that Canvas or Moodle exports")
    command.add_argument("--assignment", required=True, metavar="ID")
    command.add_argument("--roster", metavar="FILE", help="a CSV with the column id")
    command.add_argument("--due", metavar="TIME", help="as 2027-02-01T23:59")
    command.add_argument("--student", metavar="ID", help="grade this student again")
    command.add_argument("--problem", metavar="P", help="grade only this problem again")
    command.add_argument("--jobs", metavar="N", help="how many run at once")
    command.add_argument("--unsandboxed", metavar="WORDS", help="what to say is on the page for instructors")
    for maker in make + [command]:
        maker.add_argument("--from", dest="folder", metavar="FOLDER", help="source notebooks of your own")
        maker.add_argument("--course", metavar="FOLDER", help="where the course is kept (grading)")
    command = add(bench, "measure how fast ensembles of networks train")
    command.add_argument("--store", action="store_true", help="keep the results for the book's page")
    add(notebooks, "run chapters and compare them with what is stored", ids="chapters; all if none is named")
    add(lint, "check the code's style").add_argument(
        "--fix", action="store_true", help="mend what can be mended"
    )
    add(mutants, "change the code on purpose and count how often the tests notice")
    add(lock, "resolve all packages afresh into constraints.txt")
    add(clean, "remove what was built").add_argument("--all", action="store_true", help="remove .venv too")
    return parser


def main(arguments=None):
    sys.stdout.reconfigure(errors="replace")  # some terminals cannot show every letter
    parser = commands()
    options = parser.parse_args(arguments)
    if not options.command:
        parser.print_help()
        return
    try:
        options.function(options)
    except KeyboardInterrupt:
        say("")
        sys.exit(130)


if __name__ == "__main__":
    main()

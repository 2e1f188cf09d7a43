"""Where Hypothesis keeps what it looks up about the machine: with everything else that is built."""

from pathlib import Path

from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(__file__).resolve().parents[2] / "_build" / ".hypothesis")

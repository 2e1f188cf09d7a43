"""What a chapter pays before its first step."""

import nbformat
import pytest

from claimbook.commands import execute

NETWORKS = """\
import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from claimbook import ensemble, figures, seeds
from claimbook.evidence import Band, Chapter

figures.use()
x, y = (torch.tensor(part) for part in load_digits(return_X_y=True))
ensemble.train(
    lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), F.cross_entropy, (x.float(), y),
    seeds=seeds.units(), steps=1, batch_size=32, learning_rate=1e-3,
)
"""
CLOSED_FORM = """\
import sys

import numpy as np
from matplotlib import pyplot as plt

from claimbook import exercises, figures, seeds
from claimbook.evidence import Band, Chapter

figures.use()
seeds.numpy("start", 0)
assert "torch" not in sys.modules
"""


NETWORKS_IMPORT = """\
import numpy, torch, sklearn.datasets
from matplotlib import pyplot
"""
CLOSED_FORM_IMPORT = """\
import numpy
from matplotlib import pyplot
"""


@pytest.mark.parametrize(
    ("cell", "imports"), [(NETWORKS, NETWORKS_IMPORT), (CLOSED_FORM, CLOSED_FORM_IMPORT)]
)
def test_the_start_of_a_chapter_costs_at_most_five_seconds(cell, imports, tmp_path):
    """Or, on a machine where the packages alone take that long, half as much again as these."""

    def seconds(source):  # of the kernel's processor time, so that a busy machine does not matter
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        return execute.measured(notebook, tmp_path)[1]["cpu_seconds"]

    start = seconds(cell)
    assert start < 5 or start < 1.5 * seconds(imports)

"""What `make bench` measures is right before it is fast."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from claimbook import ensemble

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = ["narrow", "wide", "transformer", "convnet"]
STEPS, MEMBERS = 4, 5


@pytest.fixture(scope="module")
def benchmarks():
    """The two modules, which lie beside one another and in no package."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("ensembles"), importlib.import_module("models")
    sys.path.remove(str(FOLDER))


def fit(case, data, rows, **options):
    return ensemble.train(
        case.factory, F.cross_entropy, data, seeds=range(MEMBERS), steps=STEPS, batch_size=case.batch,
        learning_rate=1e-3, optimizer="adam", rows=rows, **options,
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_member_is_what_a_plain_loop_trains(benchmarks, name):
    """Losses agree to 1e-5 in every step; full batches, so that both see the same examples."""
    _, models = benchmarks
    case, data = models.MODELS[name], models.examples(models.MODELS[name])
    rows = torch.arange(case.batch).repeat(MEMBERS, 1)
    init = ensemble.initialize(case.factory, range(MEMBERS))
    together = fit(case, data, rows, init=init)
    network = case.factory()
    network.load_state_dict({key: p[3] for key, p in init.items()})
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(data[0][: case.batch]), data[1][: case.batch])
        loss.backward()
        optimizer.step()
        assert abs(loss.item() - together.losses[step, 3].item()) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_members_do_not_leak_into_one_another(benchmarks, name):
    _, models = benchmarks
    case, data = models.MODELS[name], models.examples(models.MODELS[name])
    rows = torch.arange(case.batch).repeat(MEMBERS, 1)
    before = fit(case, data, rows)
    rows[3] += case.batch
    after = fit(case, data, rows)
    others = [k for k in range(MEMBERS) if k != 3]
    for key, p in before.params.items():
        assert torch.equal(p[others], after.params[key][others])
    assert not torch.equal(before.losses[:, 3], after.losses[:, 3])


def test_the_stored_results_meet_every_floor_and_make_the_table(benchmarks):
    ensembles, _ = benchmarks
    results = json.loads((FOLDER / "results.json").read_text(encoding="utf8"))
    assert list(results["models"]) == NAMES
    assert ensembles.missed(results) == []
    assert ensembles.table(results) == (FOLDER / "table.md").read_text(encoding="utf8")


def test_a_missed_floor_is_named(benchmarks):
    ensembles, _ = benchmarks
    slow = {"models": {"narrow": {"two": 9.96}, "wide": {"two": 3.0}}}
    assert ensembles.missed(slow) == ["below its floor of 10x: perceptron 64-32-32-10, batch 32, 10.0x"]

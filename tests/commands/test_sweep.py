"""Runs of chapters, side by side."""

import joblib
import pytest

from claimbook.commands import sweep


@pytest.mark.parametrize(
    ("jobs", "configured", "expected"), [(None, None, 2), (None, 3, 3), (1, None, 1), (1, 3, 1), (4, None, 4)]
)
def test_two_runs_side_by_side_unless_told_otherwise(jobs, configured, expected):
    with joblib.parallel_config(n_jobs=configured):
        assert joblib.effective_n_jobs(sweep._jobs(jobs)) == expected


def test_results_come_in_order_or_as_they_end():
    calls = [joblib.delayed(abs)(-k) for k in range(5)]
    assert list(sweep.in_order(calls)) == list(range(5))
    assert sorted(sweep.as_they_end(calls)) == list(range(5))


def test_without_an_address_there_is_no_cluster():
    with sweep.on_cluster(None):
        assert list(sweep.in_order([joblib.delayed(abs)(-1)])) == [1]

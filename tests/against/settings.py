"""How all comparisons draw their inputs: the same ones in every run, and without a clock."""

from hypothesis import settings

few = settings(deadline=None, derandomize=True, database=None, max_examples=30)
many = settings(few, max_examples=40)

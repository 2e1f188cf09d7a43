"""Train many small networks of one architecture at once, on a processor without a GPU.

One small network keeps a processor busy with overhead, not with arithmetic. Where that is so, the parameters of
all members are stacked, name -> (members, *shape), and one forward pass, one backward pass and one optimizer
step serve them all. The loss is summed over members, so that no gradient sees another member: a trajectory is
the one the member would have alone, to float tolerance. Members may differ in seed, start, data, learning rate,
weight decay, masks, noise, and in settings of the loss.

Where arithmetic is what takes the time, stacking gains nothing, and members are trained one after the other.
`method` says which way is taken and why; `train(..., method=...)` overrides it.
"""

from claimbook.ensemble.forward import method, predict
from claimbook.ensemble.parameters import Params, average, count, initialize, pick, stack
from claimbook.ensemble.training import Ensemble, train

__all__ = [
    "Ensemble",
    "Params",
    "average",
    "count",
    "initialize",
    "method",
    "pick",
    "predict",
    "stack",
    "train",
]

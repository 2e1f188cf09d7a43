"""How fast `claimbook.ensemble` trains many small networks: `make bench`.

All times are CPU times, taken in turns (loop, ours, loop, ours, ...), and only their ratios are judged: a busy
machine slows both. Two processes are rated by the CPU time of the busier one, which is what a clock shows on two
quiet cores. Writes results.json, table.md and growth.png beside this file with ``--store``.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import joblib
import psutil
import torch
from models import MODELS, Case, examples
from torch.nn import functional as F

from claimbook import ensemble
from claimbook.commands.machines import processor

HERE = Path(__file__).resolve().parent
ROUNDS = 5


def cpu(work: Callable[[], object]) -> float:
    """CPU-seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def loop(case: Case, members: int, steps: int) -> None:
    """What one would write first: one network after the other, PyTorch's Adam."""
    inputs, targets = examples(case)
    for member in range(members):
        torch.manual_seed(member)
        network = case.factory()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        for _ in range(steps):
            index = torch.randint(len(inputs), (case.batch,))
            optimizer.zero_grad()
            F.cross_entropy(network(inputs[index]), targets[index]).backward()
            optimizer.step()


def ours(case: Case, members: int, steps: int, **options) -> ensemble.Ensemble:
    """The same networks, batches of the same size, the same number of steps."""
    return ensemble.train(
        case.factory,
        F.cross_entropy,
        examples(case),
        seeds=range(members),
        steps=steps,
        batch_size=case.batch,
        learning_rate=1e-3,
        optimizer="adam",
        **options,
    )


def on_two(case: Case, steps: int) -> float:
    """CPU-seconds on the critical path with two processes: this one's, and the busier worker's."""
    while True:
        workers = set(joblib.Parallel(n_jobs=2)(joblib.delayed(_pid)() for _ in range(16)))
        before = {pid: _used(pid) for pid in workers}
        here = cpu(lambda: ours(case, case.members, steps, n_jobs=2))
        try:
            return here + max(_used(pid) - start for pid, start in before.items())
        except psutil.NoSuchProcess:  # joblib replaces a worker that has grown by what it imported
            continue


def _used(pid: int) -> float:
    """CPU-seconds of a process so far."""
    return sum(psutil.Process(pid).cpu_times()[:2])


def _pid() -> int:
    time.sleep(0.05)  # so that both workers get some
    return psutil.Process().pid


def peak() -> float:
    """This machine's best floating-point operations per CPU-second in batched matrix products."""
    best = 0.0
    for members, size in ((32, 32), (32, 64), (32, 128), (16, 256)):
        a, b = torch.randn(2, members, size, size)
        repeat = int(2e9 / (2 * members * size**3))
        seconds = cpu(lambda a=a, b=b, repeat=repeat: [torch.bmm(a, b) for _ in range(repeat)])
        best = max(best, 2 * members * size**3 * repeat / seconds)
    return best


def operations(case: Case) -> int:
    """Floating-point operations of one training step of one member: forward once, backward twice that."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        case.factory()(examples(case)[0][: case.batch])
    return 3 * counter.get_total_flops()


@dataclass
class Found:
    """Medians over rounds."""

    way: str
    one: float
    two: float
    share: float
    milliseconds: float


def measure(case: Case) -> Found:
    """Times of one model, in turns."""
    loop(case, 1, 3), ours(case, 2, 3), on_two(case, 3)  # what is paid once
    alone, one, two, share = [], [], [], []
    for _ in range(ROUNDS):
        best = peak()
        alone.append(cpu(lambda: loop(case, 2, case.steps)) / 2 / case.steps)
        together = cpu(lambda: ours(case, case.members, case.steps)) / case.members / case.steps
        both = on_two(case, case.steps) / case.members / case.steps
        one.append(alone[-1] / together)
        two.append(alone[-1] / both)
        share.append(operations(case) / together / best)
    middle = statistics.median
    way = ensemble.method(case.factory, examples(case)[0][0], case.batch)
    return Found(way, middle(one), middle(two), middle(share), 1000 * middle(alone))


def growth() -> dict[str, dict[str, list[float]]]:
    """How many times faster than the loop, by members and width, in one process."""
    from models import perceptron

    found = {}
    for width in (16, 32, 64, 128, 256):
        case = Case(perceptron(64, width, width, 10), batch=32, members=64, steps=30)
        loop(case, 1, 3)
        ratios = []
        for members in (1, 2, 4, 8, 16, 32, 64):
            pairs = []
            for _ in range(3):
                alone = cpu(lambda case=case: loop(case, 1, case.steps))
                pairs.append(alone * members / cpu(lambda c=case, m=members: ours(c, m, c.steps)))
            ratios.append(statistics.median(pairs))
        found[str(width)] = {"members": [1, 2, 4, 8, 16, 32, 64], "faster": ratios}
    return found


def profile(case: Case) -> list[tuple[str, float]]:
    """Where one process spends its time: the largest shares, by PyTorch operation."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CPU]) as seen:
        ours(case, case.members, case.steps)
    times = {event.key.removeprefix("aten::"): event.self_cpu_time_total for event in seen.key_averages()}
    total = sum(times.values())
    return sorted(((name, t / total) for name, t in times.items()), key=lambda item: -item[1])[:6]


def table(results: dict) -> str:
    """The page's table, in Markdown."""
    lines = [
        "| network | members | trained by | one process | two processes | floor | ambition | share of peak |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, case in MODELS.items():
        r = results["models"][name]
        lines.append(
            f"| {case.says} | {case.members} | {r['way']} | {r['one']:.1f}x | **{r['two']:.1f}x** "
            f"| {case.floor:g}x | {case.ambition:g}x | {100 * r['share']:.0f}% |"
        )
    short = {name: r for name, r in results["models"].items() if r["two"] < MODELS[name].ambition}
    if short:
        lines += ["", "Short of the ambition, and where the time goes there:", ""]
    for name, r in short.items():
        parts = ", ".join(f"`{operation}` {100 * share:.0f}%" for operation, share in r["profile"])
        lines.append(f"- {MODELS[name].says}: {parts}.")
    machine = results["machine"]
    lines += [
        "",
        f"Measured on {machine['processor']} with Python {machine['python']} and PyTorch {machine['torch']}, "
        f"whose batched matrix products reached {machine['peak']:.0f} GFLOP per CPU-second.",
    ]
    return "\n".join(lines) + "\n"


def draw(results: dict, path: Path) -> None:
    """The figure: how the gain grows with members and fades with width."""
    from matplotlib import pyplot as plt

    from claimbook import figures

    figures.use()
    fig, ax = figures.subplots(size="single")
    roles = ("third", "test", "second", "train", "control")
    for role, (width, curve) in zip(roles, results["growth"].items(), strict=True):
        style = figures.style(role)
        ax.plot(curve["members"], curve["faster"], color=style.color, marker=style.marker, lw=1.8)
        figures.label(ax, curve["members"][-1], curve["faster"][-1], f"width {width}", role, dx=8)
    ax.axhline(1, color="0.6", lw=0.8)
    ax.set(xscale="log", yscale="log", xlabel="members", ylabel="times faster than the loop", xlim=(0.9, 200))
    members, ticks = [1, 2, 4, 8, 16, 32, 64], [0.5, 1, 2, 5, 10, 20]
    ax.set_xticks(members, members)
    ax.set_yticks(ticks, ticks)
    ax.minorticks_off()
    fig.savefig(path, dpi=105, metadata={"Software": None})
    plt.close(fig)


def missed(results: dict) -> list[str]:
    """A sentence for each model that is slower than its floor."""
    return [
        f"below its floor of {MODELS[name].floor:g}x: {MODELS[name].says}, {found['two']:.1f}x"
        for name, found in results["models"].items()
        if found["two"] < MODELS[name].floor
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", action="store_true", help="keep the results for the book's page")
    parser.add_argument("--only", nargs="*", choices=list(MODELS), help="these models, and no figure")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {"models": {}}
    for name in options.only or MODELS:
        case = MODELS[name]
        found = measure(case)
        results["models"][name] = vars(found) | {"profile": profile(case)}
        print(
            f"{case.says:42} {found.milliseconds:6.2f} ms alone  {found.way:5}  one process {found.one:5.1f}x"
            f"  two {found.two:5.1f}x  {100 * found.share:3.0f}% of peak",
            flush=True,
        )
    versions = {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]}
    results["machine"] = versions | {"processor": processor(), "peak": peak() / 1e9}
    if options.store and not options.only:
        results["growth"] = growth()
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf8")
        (HERE / "table.md").write_text(table(results), encoding="utf8")
        draw(results, HERE / "growth.png")
    lines = missed(results)
    print("\n".join(lines))
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()

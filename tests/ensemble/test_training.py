"""Many networks at once must be the networks one would train one by one."""

import contextlib
import sys
import threading

import joblib
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from claimbook import ensemble
from claimbook.ensemble import losses, training


def perceptron():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


class Convnet(nn.Module):
    """A module that is no chain of layers; its scale is one number."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv1d(1, 4, 3), nn.Linear(16, 3)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return self.scale * self.head(torch.tanh(self.conv(x.unsqueeze(1))).flatten(1))


class Transformer(nn.Module):
    """One block of attention over six tokens. A bias of the keys would have no gradient but rounding errors, which
    Adam makes into steps of full size."""

    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Linear(1, 8), nn.Parameter(0.1 * torch.randn(6, 8))
        self.norm, self.mix, self.head = nn.LayerNorm(8), nn.Linear(8, 24, bias=False), nn.Linear(8, 3)

    def forward(self, x):
        x = self.embed(x.unsqueeze(-1)) + self.place
        query, key, value = self.mix(self.norm(x)).chunk(3, -1)
        x = x + (query @ key.mT / 8**0.5).softmax(-1) @ value
        return self.head(x.mean(1))


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(120, 6, generator=generator)
    return inputs, (inputs @ torch.randn(6, 3, generator=generator)).argmax(1)


RATES = [1e-3, 3e-3, 1e-2, 3e-3]
DECAYS = [0.0, 0.1, 0.01, 0.1]


def fit(data, members=range(4), model=perceptron, **changes):
    """An ensemble whose member k is the same whoever else is trained."""
    members = list(members)
    options = dict(
        seeds=[100 + k for k in members],
        steps=50,
        batch_size=16,
        learning_rate=[RATES[k] for k in members],
        weight_decay=[DECAYS[k] for k in members],
    )
    return ensemble.train(model, F.cross_entropy, data, **(options | changes))


def same(first, second, atol=1e-5):
    return all(torch.allclose(first[name], second[name], rtol=0, atol=atol) for name in first)


WAYS = [(perceptron, way) for way in ("stack", "vmap", "loop")]
WAYS += [(model, way) for model in (Convnet, Transformer) for way in ("vmap", "loop")]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize(("model", "method"), WAYS)
class TestTrajectory:
    """A parameter may be off by 1e-5 after 50 steps, a loss by 1e-5 in every step."""

    def test_a_member_is_what_it_is_alone(self, data, model, method, optimizer):
        together = fit(data, model=model, optimizer=optimizer, method=method)
        for k in range(4):
            alone = fit(data, [k], model=model, optimizer=optimizer, method=method)
            assert same(ensemble.pick(together.params, [k]), alone.params)
            torch.testing.assert_close(together.losses[:, k], alone.losses[:, 0], rtol=0, atol=1e-5)

    def test_a_member_is_what_torch_trains(self, data, model, method, optimizer):
        init, index = ensemble.initialize(model, [7, 8]), torch.arange(40).repeat(2, 1)
        ours = ensemble.train(
            model, F.cross_entropy, data, seeds=[0, 1], init=init, rows=index, optimizer=optimizer,
            steps=50, batch_size=None, learning_rate=[1e-3, 1e-2], weight_decay=[0.1, 0.0], method=method,
        )  # fmt: skip
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
        for k, (rate, decay) in enumerate([(1e-3, 0.1), (1e-2, 0.0)]):
            network = model()
            network.load_state_dict({name: p[k] for name, p in init.items()})
            options = {"momentum": 0.9} if optimizer == "sgd" else {}
            theirs = kinds[optimizer](network.parameters(), lr=rate, weight_decay=decay, **options)
            curve = []
            for _ in range(50):
                theirs.zero_grad()
                loss = F.cross_entropy(network(data[0][:40]), data[1][:40])
                loss.backward()
                theirs.step()
                curve.append(loss.detach())
            assert same(ensemble.pick(ours.params, [k]), ensemble.stack([network]))
            torch.testing.assert_close(ours.losses[:, k], torch.stack(curve), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("model", "method"), WAYS)
class TestMembers:
    def test_changing_one_member_s_data_changes_that_member_alone(self, data, model, method):
        rows = torch.arange(60).repeat(4, 1)
        before = fit(data, model=model, method=method, rows=rows, steps=10)
        rows[3] += 60
        after = fit(data, model=model, method=method, rows=rows, steps=10)
        for name, p in before.params.items():
            assert torch.equal(p[:3], after.params[name][:3])
        assert not torch.equal(before.losses[:, 3], after.losses[:, 3])

    def test_the_same_seeds_give_the_same_bytes(self, data, model, method):
        first, second = (fit(data, model=model, method=method, steps=10) for _ in range(2))
        assert same(first.params, second.params, atol=0) and torch.equal(first.losses, second.losses)

    def test_the_size_of_a_group_changes_nothing(self, data, model, method):
        two, four = (fit(data, model=model, method=method, group=g) for g in (2, 4))
        assert same(two.params, four.params)

    def test_a_mask_is_kept_through_training(self, data, model, method):
        name = "head.weight" if model is not perceptron else "2.weight"
        shape = ensemble.initialize(model, range(4))[name].shape
        mask = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.5).float()
        trained = fit(data, model=model, method=method, masks={name: mask}, learning_rate=1e-2).params[name]
        assert (trained[mask == 0] == 0).all() and (trained[mask == 1] != 0).all()
        plain = fit(data, model=model, method=method, steps=10, masks={name: torch.ones(shape)})
        assert same(plain.params, fit(data, model=model, method=method, steps=10).params, atol=0)

    def test_gradient_noise_has_the_spread_asked_for(self, data, model, method):
        options = dict(
            model=model, method=method, optimizer="sgd", steps=1, weight_decay=0.0, seeds=[5, 5, 6, 6]
        )
        options |= dict(learning_rate=1.0, init=ensemble.initialize(model, [1, 1, 1, 1]), batch_size=None)
        calm = fit(data, **options).params
        noisy = fit(data, gradient_noise=[0.0, 3.0, 3.0, 6.0], **options).params
        flat = torch.cat([(noisy[name] - calm[name]).reshape(4, -1) for name in calm], dim=1)
        assert flat[0].abs().max() < 1e-5
        assert torch.allclose(flat.std(1)[1:], torch.tensor([3.0, 3.0, 6.0]), rtol=0.35)
        torch.testing.assert_close(flat[3], 2 * flat[2], rtol=1e-3, atol=1e-3)


class TestProcesses:
    @pytest.mark.parametrize("method", ["stack", "loop"])
    def test_two_processes_give_what_one_gives(self, data, method):
        generators = [[torch.Generator().manual_seed(100 + k) for k in range(4)] for _ in range(2)]
        options = dict(method=method, group=2, record=norm, record_at=[0, 50])
        one = fit(data, seeds=generators[0], **options)
        two = fit(data, seeds=generators[1], n_jobs=2, **options)
        assert same(one.params, two.params, atol=0) and torch.equal(one.losses, two.losses)
        assert torch.equal(one.recorded["norm"], two.recorded["norm"])
        states = [[g.get_state().tolist() for g in part] for part in generators]
        assert states[0] == states[1]


def norm(step, params, who):
    """Lives in the module, as what another process must find does."""
    return {"norm": next(iter(params.values())).flatten(1).norm(dim=1)}


def test_no_two_members_have_the_same_noise(data):
    noisy = ensemble.train(
        perceptron, F.cross_entropy, data, seeds=range(60), init=ensemble.initialize(perceptron, [1] * 60), steps=1,
        batch_size=None, learning_rate=1.0, optimizer="sgd", gradient_noise=1.0,
    )  # fmt: skip
    assert len(noisy.params["0.bias"].unique(dim=0)) == 60


class TestThreads:
    """Processes of joblib's that are threads of this one: what they do can be watched."""

    def test_joblib_s_own_settings_hold(self, data):
        with joblib.parallel_config(backend="threading", n_jobs=2):
            threads = fit(data, group=2)
        assert same(threads.params, fit(data, group=2).params, atol=0)

    def test_they_share_the_members_and_give_what_one_gives(self, data):
        main, seen = threading.get_ident(), []

        def where(step, params, who):
            seen.append((threading.get_ident() == main, who))
            return norm(step, params, who)

        generators = [[torch.Generator().manual_seed(100 + k) for k in range(3)] for _ in range(2)]
        options = dict(members=range(3), record=where, record_at=[50])
        one = fit(data, seeds=generators[0], **options)
        assert seen == [(True, slice(0, 3))]
        seen.clear()
        with joblib.parallel_config(backend="threading"):
            two = fit(data, seeds=generators[1], n_jobs=2, **options)
        assert sorted(seen, key=str) == [(False, slice(0, 2)), (False, slice(2, 3))]
        assert same(one.params, two.params) and two.losses.shape == (50, 3)
        torch.testing.assert_close(one.recorded["norm"], two.recorded["norm"])
        states = [[g.get_state().tolist() for g in part] for part in generators]
        assert states[0] == states[1]

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_progress_counts_the_steps_of_every_group(self, data, jobs, monkeypatch):
        bars, counted = [], []

        class Bar:
            update = counted.append

        @contextlib.contextmanager
        def bar(*label_and_total):
            bars.append(label_and_total)
            yield Bar

        monkeypatch.setattr(training, "_bar", bar)
        with joblib.parallel_config(backend="threading"):
            fit(data, group=2, steps=7, n_jobs=jobs, progress="training")
        assert bars == [("training", 14)] and counted == ([1] * 14 if jobs == 1 else [7, 7])


class TestBar:
    def test_in_a_terminal(self, monkeypatch):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        with training._bar("training", 14) as bar:
            assert not bar.disable and (bar.total, bar.desc, bar.leave) == (14, "training", False)
        with training._bar(None, 14) as silent:
            assert silent.disable

    def test_elsewhere(self, monkeypatch):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
        with training._bar("training", 14) as silent:
            assert silent.disable


class TestLosses:
    @pytest.mark.parametrize("transposed", [True, False])
    def test_losses_written_out_are_torch_s(self, transposed):
        generator = torch.Generator().manual_seed(0)
        outputs = torch.randn(3, 7, 5, generator=generator)
        outputs = outputs.mT.contiguous().mT if transposed else outputs
        labels = torch.randint(5, (3, 7), generator=generator)
        for loss, goals in ((F.cross_entropy, labels), (F.mse_loss, torch.zeros(3, 7, 5))):
            written = losses.stacked(loss, goals.flatten(0, 1), {})
            assert written.__name__ != "<lambda>"
            expected = torch.stack([loss(o, t) for o, t in zip(outputs, goals, strict=True)])
            torch.testing.assert_close(written(outputs, goals, {}), expected)

    def test_ignored_labels_take_the_general_way(self, data):
        labels = data[1].clone()
        labels[:60] = -100
        together = fit((data[0], labels), batch_size=None, steps=1, learning_rate=0.0)
        network = perceptron()
        network.load_state_dict({name: p[0] for name, p in together.params.items()})
        torch.testing.assert_close(together.losses[0, 0], F.cross_entropy(network(data[0]), labels))


class TestWays:
    @pytest.mark.parametrize(("way", "groups"), [("stack", []), ("vmap", []), ("loop", [1, 1, 1, 1])])
    def test_only_a_loop_takes_the_optimizer_of_torch(self, data, way, groups, monkeypatch):
        sizes, loop = [], training._loop
        monkeypatch.setattr(training, "_loop", lambda plan: (sizes.append(len(plan.rate)), loop(plan))[1])
        fit(data, steps=1, method=way)
        assert sizes == groups


class TestIndependence:
    def test_another_member_s_data_start_and_rate_leave_a_member_alone(self, data):
        rows = torch.arange(60).repeat(3, 1)
        init = ensemble.initialize(perceptron, [1, 2, 3])
        before = fit(data, range(3), rows=rows, init=init)
        changed = {name: p.clone() for name, p in init.items()}
        for p in changed.values():
            p[1] *= 5
        after = fit(
            data,
            range(3),
            rows=rows + torch.tensor([[0], [60], [0]]),
            init=changed,
            learning_rate=[1e-3, 1, 1e-2],
        )
        kept = [0, 2]
        assert all(torch.equal(before.params[name][kept], after.params[name][kept]) for name in init)
        assert not torch.equal(before.losses[:, 1], after.losses[:, 1])

    def test_a_diverging_member_is_reported_and_the_others_go_on(self, data):
        calm = fit(data, optimizer="sgd")
        with pytest.warns(RuntimeWarning, match=r"1 of 4 members diverged: \[1\]"):
            wild = fit(data, optimizer="sgd", learning_rate=[RATES[0], 1e20, *RATES[2:]])
        assert wild.diverged.tolist() == [False, True, False, False]
        kept = [0, 2, 3]
        assert all(torch.equal(calm.params[name][kept], wild.params[name][kept]) for name in calm.params)

    def test_a_loss_that_is_not_finite_is_reported_though_the_weights_are(self, data):
        with pytest.warns(RuntimeWarning, match=r"1 of 2 members diverged: \[0\]"):
            result = ensemble.train(
                perceptron, lambda o, t, far: F.cross_entropy(o, t) + far, data, seeds=[0, 1], steps=1,
                batch_size=16, learning_rate=0.0, settings={"far": [float("inf"), 0.0]},
            )  # fmt: skip
        assert result.diverged.tolist() == [True, False]

    def test_rows_are_the_only_examples_a_member_sees(self, data):
        inputs = data[0].clone()
        inputs[60:] = float("nan")
        rows = torch.stack([torch.arange(60), torch.arange(60).flip(0)])
        assert not fit((inputs, data[1]), [0, 1], rows=rows).diverged.any()

    def test_init_is_copied(self, data):
        init = ensemble.initialize(perceptron, range(4))
        kept = {name: p.clone() for name, p in init.items()}
        fit(data, init=init)
        assert same(init, kept, atol=0)


class TestSeeds:
    def test_generators_serve_as_seeds(self, data):
        generators = [torch.Generator().manual_seed(100 + k) for k in range(4)]
        assert same(fit(data, seeds=generators).params, fit(data).params, atol=0)

    def test_other_seeds_give_other_members(self, data):
        result = fit(data, seeds=[1, 2, 3, 1], learning_rate=1e-3, weight_decay=0.0)
        weight = result.params["0.weight"]
        assert torch.allclose(weight[0], weight[3], atol=1e-6) and not torch.allclose(
            weight[0], weight[1], atol=1e-2
        )

    def test_the_global_generator_is_left_alone(self, data):
        torch.manual_seed(3)
        before = torch.get_rng_state()
        fit(data)
        assert torch.equal(before, torch.get_rng_state())


class TestOptions:
    def test_batches_cover_an_epoch_without_repetition(self, data):
        marked = (torch.arange(120.0).unsqueeze(1).expand(-1, 6), data[1])
        seen = []
        ensemble.train(
            perceptron, lambda o, t, **s: (seen.append(t.shape), o.sum() * 0)[1], marked,
            seeds=[0], steps=1, batch_size=16, learning_rate=0.0,
        )  # fmt: skip
        assert seen == [torch.Size([16])]
        batches = training._batches(
            torch.arange(120).expand(2, -1), [torch.Generator().manual_seed(s) for s in (5, 6)], 16
        )
        epoch = torch.cat([next(batches) for _ in range(7)], dim=1)
        assert all(len(set(row.tolist())) == 112 for row in epoch)
        assert next(batches).shape == (2, 16)  # what is left of an epoch is dropped

    def test_a_number_for_each_member_is_a_float(self):
        for value in (2, [2, 2], torch.tensor(2.0, dtype=torch.float64)):
            rates = training._per_member("learning_rate", value, 2)
            assert rates.dtype == torch.float32 and rates.tolist() == [2.0, 2.0]

    @pytest.mark.parametrize("method", ["stack", "vmap", "loop"])
    def test_settings_reach_their_member(self, data, method):
        def scaled(outputs, targets, scale):
            return scale * F.cross_entropy(outputs, targets)

        result = ensemble.train(
            perceptron, scaled, data, seeds=[5, 5], steps=1, batch_size=None, learning_rate=0.0,
            settings={"scale": [1.0, 3.0]}, method=method,
        )  # fmt: skip
        torch.testing.assert_close(result.losses[0, 1], 3 * result.losses[0, 0])
        per_class = {"scale": torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])}
        result = ensemble.train(
            perceptron, lambda o, t, scale: (F.one_hot(t, 3) * scale * o).mean(), data, seeds=[5, 5], steps=1,
            batch_size=None, learning_rate=0.0, settings=per_class, method=method,
        )  # fmt: skip
        torch.testing.assert_close(result.losses[0, 1], 2 * result.losses[0, 0])

    @pytest.mark.parametrize("method", ["stack", "vmap", "loop"])
    def test_losses_of_torch_take_settings_too(self, data, method):
        weights = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 0.5]])
        options = dict(seeds=[5, 6], steps=1, batch_size=None, learning_rate=0.0, method=method)
        result = ensemble.train(perceptron, F.cross_entropy, data, settings={"weight": weights}, **options)
        for k, outputs in enumerate(result.predict(data[0])):
            expected = F.cross_entropy(outputs, data[1], weight=weights[k])
            torch.testing.assert_close(result.losses[0, k], expected)

    @pytest.mark.parametrize("method", ["stack", "vmap", "loop"])
    def test_schedule_multiplies_every_rate(self, data, method):
        halved = fit(data, learning_rate=[r / 2 for r in RATES], weight_decay=0.0, method=method)
        scheduled = fit(data, schedule=lambda step: 0.5, weight_decay=0.0, method=method)
        assert same(scheduled.params, halved.params, atol=1e-6)
        stopped = fit(data, schedule=lambda step: float(step < 10), method=method)
        assert same(stopped.params, fit(data, steps=10, method=method).params, atol=1e-6)

    def test_what_is_not_said(self, data):
        short = dict(seeds=[0], steps=20, batch_size=16, learning_rate=1e-2)
        said = short | dict(weight_decay=0.0, gradient_noise=0.0, betas=(0.9, 0.999), momentum=0.9)
        for given, full in (({}, {"optimizer": "adamw"}), ({"optimizer": "sgd"}, {"optimizer": "sgd"})):
            plain = ensemble.train(perceptron, F.cross_entropy, data, **short, **given)
            explicit = ensemble.train(perceptron, F.cross_entropy, data, **said, **full)
            assert same(plain.params, explicit.params, atol=0)

    @pytest.mark.parametrize("method", [None, "stack", "vmap", "loop"])
    def test_the_least_that_may_be_asked_for(self, data, method):
        one = (data[0][:1], data[1][:1])
        result = fit(one, steps=1, batch_size=1, group=1, method=method, momentum=0, betas=(0, 0))
        assert result.losses.shape == (1, 4) and not result.diverged.any()
        edges = torch.tensor([[0], [119], [1], [118]])
        last = fit(data, rows=edges, batch_size=None, steps=1, learning_rate=0.0, method=method)
        for k, row in enumerate(edges.flatten()):
            goal = F.cross_entropy(last.predict(data[0])[k, row], data[1][row])
            torch.testing.assert_close(last.losses[0, k], goal)

    def test_momentum_may_be_zero(self, data):
        options = dict(optimizer="sgd", momentum=0.0, learning_rate=0.1, batch_size=None)
        whole, half = (fit(data, steps=steps, **options) for steps in (2, 1))
        again = fit(data, steps=1, init=half.params, **options)  # what came before leaves no trace
        assert same(whole.params, again.params)

    def test_an_epoch_may_be_one_batch(self, data):
        shuffled = fit(data, batch_size=120, steps=3)
        torch.testing.assert_close(shuffled.losses, fit(data, batch_size=None, steps=3).losses)

    def test_as_many_side_by_side_as_fit_in_a_cache(self, data, monkeypatch):
        size = sum(p.numel() for p in perceptron().parameters())
        for numbers, groups in ((size - 1, [1, 1, 1, 1]), (size, [1, 1, 1, 1]), (3 * size, [3, 1])):
            seen = []
            monkeypatch.setattr(training, "_NUMBERS_IN_A_GROUP", numbers)

            def count(step, params, who, seen=seen):
                seen.append(who.stop - who.start)
                return {}

            fit(data, record=count, record_at=[1], steps=1)
            assert seen == groups

    def test_frozen_parameters_stay(self, data):
        def frozen():
            network = perceptron()
            network[0].requires_grad_(False)
            return network

        init = ensemble.initialize(frozen, range(4))
        result = fit(data, model=frozen, init=init)
        assert torch.equal(result.params["0.weight"], init["0.weight"])
        assert not torch.equal(result.params["4.weight"], init["4.weight"])
        assert list(result.params) == list(init)

    def test_record_sees_every_member_once_at_each_step(self, data):
        def norms(step, params, who):
            return {"norm": params["0.weight"].flatten(1).norm(dim=1), "who": torch.arange(4)[who]}

        result = fit(data, record=norms, record_at=[0, 20, 50], group=3)
        assert result.recorded_at == [0, 20, 50]
        assert result.recorded["who"].tolist() == [[0, 1, 2, 3]] * 3
        assert torch.equal(result.recorded["norm"][-1], result.params["0.weight"].flatten(1).norm(dim=1))
        assert not torch.equal(result.recorded["norm"][0], result.recorded["norm"][1])
        at_the_end = fit(data, record=norms, record_at=[50])  # one record, one group
        assert torch.equal(at_the_end.recorded["who"], torch.tensor([[0, 1, 2, 3]]))
        torch.testing.assert_close(at_the_end.recorded["norm"][0], result.recorded["norm"][-1])

    def test_records_may_have_any_shape(self, data):
        result = fit(data, record=lambda step, params, who: {"bias": params["0.bias"]}, record_at=[50])
        assert torch.equal(result.recorded["bias"][0], result.params["0.bias"])

    @pytest.mark.parametrize("method", ["stack", "vmap", "loop"])
    def test_the_network_that_shows_the_architecture_is_left_alone(self, data, method):
        network = perceptron()
        kept = {name: p.detach().clone() for name, p in network.named_parameters()}
        fit(data, model=network, init=ensemble.initialize(perceptron, range(4)), method=method)
        assert same(dict(network.named_parameters()), kept, atol=0)

    def test_buffers_go_with_every_member(self, data):
        class Scaled(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(6, 3)
                self.register_buffer("scale", torch.arange(6.0))

            def forward(self, x):
                return self.layer(self.scale * x)

        one_by_one, together = (fit(data, model=Scaled, method=way) for way in ("loop", "vmap"))
        assert same(one_by_one.params, together.params)
        scaled = fit((torch.arange(6.0) * data[0], data[1]), model=lambda: nn.Sequential(nn.Linear(6, 3)))
        torch.testing.assert_close(together.params["layer.weight"], scaled.params["0.weight"])

    def test_predictions_of_the_result(self, data):
        result = fit(data, steps=1)
        inputs = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0))
        expected = ensemble.predict(result.model, result.params, inputs, per_member=True)
        assert torch.equal(result.predict(inputs, per_member=True), expected) and expected.shape == (4, 5, 3)

    def test_it_learns(self, data):
        result = fit(data, learning_rate=1e-2, steps=200)
        assert ((result.predict(data[0]).argmax(-1) == data[1]).float().mean(1) > 0.95).all()


class TestErrors:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"seeds": []}, "at least one member, got no seeds"),
            ({"seeds": [torch.Generator()] * 4}, "generator of its own"),
            ({"learning_rate": [1e-3, 1e-3]}, "learning_rate must be one number or one for each of 4"),
            ({"weight_decay": -1.0}, "weight_decay must be finite and not negative"),
            ({"learning_rate": float("nan")}, "learning_rate must be finite"),
            ({"steps": 0}, "steps must be at least 1"),
            ({"batch_size": 121}, "batch_size must be between 1 and 120"),
            ({"batch_size": 0}, "batch_size must be between 1"),
            ({"optimizer": "lion"}, "optimizer must be one of"),
            ({"method": "guess"}, "method must be one of"),
            ({"gradient_noise": [1.0]}, "gradient_noise must be one number or one for each of 4"),
            ({"masks": {"9.weight": torch.ones(4)}}, "no parameter '9.weight' to mask"),
            ({"masks": {"0.bias": torch.ones(16)}}, r"mask '0.bias' must have shape \(4, 16\)"),
            ({"masks": {"0.bias": torch.full((4, 16), 0.5)}}, "zeros and ones"),
            (
                {"rows": torch.arange(8).reshape(2, 4)},
                r"rows must have shape \(4, examples\), got \(2, 4\)",
            ),
            ({"rows": torch.arange(4)}, r"rows must have shape \(4, examples\), got \(4,\)"),
            ({"rows": torch.zeros(4, 0, dtype=int)}, r"rows must have shape \(4, examples\), got \(4, 0\)"),
            ({"rows": torch.full((4, 20), 120)}, "rows must be between 0 and 119"),
            ({"rows": torch.full((4, 20), -1)}, "rows must be between 0 and 119"),
            ({"record_at": [51]}, "record_at must lie between 0 and 50"),
            ({"settings": {"weight": torch.ones(3)}}, "setting 'weight' must have 4 members"),
            ({"init": ensemble.initialize(perceptron, [0, 1])}, "init has 2 members, but there are 4 seeds"),
            ({"init": ensemble.initialize(Convnet, range(4))}, "do not fit the network"),
            ({"model": perceptron()}, "cannot start an ensemble"),
            ({"model": lambda: nn.Sequential(nn.Linear(6, 3), nn.Dropout())}, "Dropout"),
            ({"model": lambda: nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3))}, "BatchNorm1d"),
            ({"seeds": [0.5, 0.6, 0.7, 0.8]}, "seeds must be integers or generators"),
            ({"steps": 2.5}, "steps must be at least 1, a whole number"),
            ({"steps": True}, "steps must be at least 1, a whole number"),
            ({"batch_size": 2.5}, "batch_size must be a whole number"),
            ({"batch_size": "2"}, "batch_size must be a whole number"),
            ({"learning_rate": "fast"}, "learning_rate must be one number"),
            ({"learning_rate": None}, "learning_rate must be one number"),
            ({"momentum": -1.0}, "momentum must be one finite number, not negative"),
            ({"momentum": float("nan")}, "momentum must be one finite number"),
            ({"momentum": [0.9] * 4}, "momentum must be one finite number"),
            ({"momentum": float("inf")}, "momentum must be one finite number"),
            ({"momentum": "0.9"}, "momentum must be one finite number"),
            ({"betas": (1.0, 0.999)}, "betas must be two numbers"),
            ({"betas": (0.9, 0.99, 0.999)}, "betas must be two numbers"),
            ({"betas": (0.9, "0.99")}, "betas must be two numbers"),
            ({"betas": {0.9: 1, 0.99: 2}}, "betas must be two numbers"),
            ({"betas": (-0.1, 0.999)}, "betas must be two numbers"),
            ({"betas": (0.9, float("nan"))}, "betas must be two numbers"),
            ({"betas": 0.9}, "betas must be two numbers"),
            ({"schedule": 0.5}, "schedule must be a function"),
            (
                {"schedule": lambda step: -1.0},
                "schedule must give a finite number, not negative, got -1.0 at step 0",
            ),
            ({"schedule": lambda step: float("nan")}, "schedule must give a finite number"),
            ({"schedule": lambda step: float("inf")}, "schedule must give a finite number"),
            ({"schedule": lambda step: None}, "schedule must give a finite number"),
            ({"masks": [torch.ones(4, 16)]}, "masks must be a dict"),
            ({"masks": {"0.bias": [[1.0] * 16] * 4}}, "mask '0.bias' must be a tensor, got list"),
            ({"rows": torch.ones(4, 20)}, "rows must be whole numbers"),
            ({"rows": torch.ones(4, 20, dtype=torch.bool)}, "rows must be whole numbers"),
            ({"rows": torch.ones(4, 20, dtype=torch.complex64)}, "rows must be whole numbers"),
            (
                {"record": lambda *now: {"a": torch.ones(7)}, "record_at": [1]},
                r"record 'a' must be .* with 4 members, got \(7,\)",
            ),
            (
                {"record": lambda *now: {"a": 1.0}, "record_at": [1]},
                "record 'a' must be a tensor that begins with 4 members, got float",
            ),
            ({"record": lambda *now: [1.0], "record_at": [1]}, "record must return a dict .*, got list"),
            (
                {"record": lambda step, *now: {str(step): torch.ones(4)}, "record_at": [1, 2]},
                "the same names",
            ),
            ({"record": 3, "record_at": [1]}, "record must be a function"),
            ({"record_at": [1.5]}, "record_at must lie between 0 and 50, whole numbers"),
            ({"record_at": 1}, "record_at must be a list"),
            ({"record_at": [1]}, "there is no record to make"),
            ({"settings": [1.0]}, "settings must be a dict, by name, got list"),
            ({"method": ""}, "method must be one of"),
            ({"group": 0}, "group must be at least 1"),
            ({"group": -1}, "group must be at least 1"),
            ({"group": 1.5}, "group must be at least 1"),
            ({"init": perceptron()}, "init must be stacked parameters, got Sequential"),
            ({"model": lambda: perceptron().requires_grad_(False)}, "no parameter that requires a gradient"),
            ({"model": lambda: nn.Sequential(nn.Linear(7, 3))}, "inputs must end in 7 features"),
        ],
    )
    def test_train(self, data, changes, message):
        with pytest.raises(ValueError, match=message):
            fit(data, **changes)

    def test_inputs_of_another_type_than_the_start(self, data):
        with pytest.raises(ValueError, match="float64"):
            fit((data[0].double(), data[1]))

    def test_shared_layers(self, data):
        layer = nn.Linear(6, 6)
        with pytest.raises(ValueError, match="share a parameter"):
            fit(data, model=lambda: nn.Sequential(layer, nn.ReLU(), layer))

    def test_train_needs_a_target_for_each_input(self, data):
        with pytest.raises(ValueError, match="120 inputs but 119 targets"):
            fit((data[0], data[1][:-1]))

    @pytest.mark.parametrize("method", ["stack", "vmap", "loop"])
    def test_loss_must_be_one_number(self, data, method):
        with pytest.raises(ValueError, match=r"one number per member, got shape \(16,\)"):
            ensemble.train(
                perceptron, lambda o, t: F.cross_entropy(o, t, reduction="none"), data,
                seeds=[0, 1], steps=1, batch_size=16, learning_rate=1e-3, method=method,
            )  # fmt: skip

    @pytest.mark.parametrize("method", ["stack", "vmap", "loop"])
    def test_outputs_and_targets_are_never_paired_all_with_all(self, data, method):
        """However a stack is run: PyTorch's loss alone would warn and go on."""
        with pytest.raises(ValueError, match=r"do not fit"):
            ensemble.train(
                lambda: nn.Sequential(nn.Linear(6, 1)), F.mse_loss, (data[0], data[0][:, 0]),
                seeds=[0], steps=1, batch_size=None, learning_rate=1e-3, method=method,
            )  # fmt: skip

    @pytest.mark.parametrize("kind", [torch.uint8, torch.int32])
    def test_labels_of_every_kind_of_integer(self, data, kind):
        plain = fit(data, steps=5)
        assert same(fit((data[0], data[1].to(kind)), steps=5).params, plain.params, atol=0)

    @pytest.mark.parametrize("pair", [None, (1, 2), "ab", (torch.zeros(120, 6),)])
    def test_data_are_two_tensors(self, data, pair):
        with pytest.raises(ValueError, match="data must be two tensors"):
            fit(pair)

    def test_loss_must_be_a_function(self, data):
        with pytest.raises(ValueError, match="loss must be a function"):
            ensemble.train(perceptron, "mse", data, seeds=[0], steps=1, batch_size=None, learning_rate=0.1)

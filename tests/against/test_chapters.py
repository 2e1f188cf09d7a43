"""What the chapters compute, against scikit-learn, SciPy and torch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, optimize, stats
from scipy.spatial import distance
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import jaccard_score, log_loss, mutual_info_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC
from torch.nn import functional as F

from .notebooks import pieces
from .settings import few, many

SEEDS = st.integers(0, 2**31)


# Generalization of high-dimensional linear networks: spectra, descent, ridge


@pytest.fixture(scope="module")
def dynamics():
    return pieces(
        "high_dimensional_dynamics", "N_WEIGHTS", "SNR", "RATE", "LATE", "draw", "gradient_descent",
        "marchenko_pastur", "error_curve", "ridge_error", "best_time",
    )  # fmt: skip


@many
@given(load=st.floats(0.05, 8))
def test_moments_of_the_marchenko_pastur_law(dynamics, load):
    """Against its moments in closed form: mass min(1, load), mean load, and so on."""
    eigenvalues, weights = dynamics.marchenko_pastur(load)
    rtol = 1e-3 if abs(load - 1) < 0.02 else 1e-6  # the density has a pole at zero where the load is one
    assert weights.sum() == pytest.approx(min(1, load), rel=rtol)
    assert weights @ eigenvalues == pytest.approx(load, rel=1e-6)
    assert weights @ eigenvalues**2 == pytest.approx(load + load**2, rel=1e-6)
    assert weights @ eigenvalues**3 == pytest.approx(load + 3 * load**2 + load**3, rel=1e-6)
    if abs(load - 1) > 0.05:
        assert weights @ (1 / eigenvalues) == pytest.approx(min(1, load) / abs(load - 1), rel=1e-4)


def density_average(load, function):
    """Return the average over eigenvalues that are not zero, by scipy.integrate.quad of the density."""
    low, high = (1 - load**0.5) ** 2, (1 + load**0.5) ** 2

    def integrand(s):
        return function(s) * math.sqrt(max((s - low) * (high - s), 0)) / (2 * math.pi * s)

    return integrate.quad(integrand, low, high, limit=400)[0]


@pytest.mark.parametrize("load", [0.25, 0.67, 1.5, 4.0])
def test_error_curve_and_ridge_error_are_integrals_over_the_density(dynamics, load):
    """Against scipy.integrate.quad of the Marchenko-Pastur density."""
    snr = dynamics.SNR
    zero, noise = max(0.0, 1 - load), 1 / snr
    ridge = density_average(load, lambda s: 1 / (snr * s + 1)) + zero + noise
    assert dynamics.ridge_error(load) == pytest.approx(ridge, rel=1e-5)
    for time in (0.0, 0.5, 3.0, 50.0):
        for start in (0.0, 2.0):

            def mode(s, time=time, start=start):
                decay = math.exp(-s * time)
                return (1 + start**2) * decay**2 + (1 - decay) ** 2 / (snr * s)

            expected = density_average(load, mode) + zero * (1 + start**2) + noise
            assert dynamics.error_curve(time, load, start=start)[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n_samples", [50, 100, 200])
def test_ridge_error_is_what_ridge_regression_has(dynamics, n_samples):
    """Against sklearn.linear_model.Ridge with the penalty 1 / SNR on ten drawn input matrices, 40 teachers each."""
    errors, rng = [], np.random.default_rng(0)
    for _ in range(10):
        x, teachers, y, _ = dynamics.draw(rng, n_samples, 40, dynamics.SNR**-0.5, 0.0)
        found = Ridge(alpha=1 / dynamics.SNR, fit_intercept=False).fit(x, y).coef_.T
        errors.append(((found - teachers) ** 2).mean() + 1 / dynamics.SNR)
    assert np.mean(errors) == pytest.approx(dynamics.ridge_error(n_samples / dynamics.N_WEIGHTS), rel=0.04)


def test_the_ridge_penalty_is_the_best(dynamics):
    """Against scipy.optimize over the penalty: no other gives less error than 1 / SNR."""
    for load in (0.5, 1.0, 2.0):
        eigenvalues, weights = dynamics.marchenko_pastur(load)

        def error(penalty, s=eigenvalues, w=weights):
            modes = (penalty**2 + s / dynamics.SNR) / (s + penalty) ** 2
            return modes @ w + 1 - w.sum() + 1 / dynamics.SNR

        best = optimize.minimize_scalar(error, bounds=(1e-3, 5), method="bounded")
        assert best.x == pytest.approx(1 / dynamics.SNR, rel=0.01)
        assert best.fun == pytest.approx(dynamics.ridge_error(load), rel=1e-6)


@few
@given(seed=SEEDS, n_samples=st.sampled_from([5, 100, 130]), copies=st.integers(1, 3))
def test_gradient_descent(dynamics, seed, n_samples, copies):
    """Against the steps themselves, w <- w + rate X'(y - X w), in the coordinates of the weights."""
    rng = np.random.default_rng(seed)
    x, _, y, w = dynamics.draw(rng, n_samples, copies, 0.4, 1.0)
    times = [0.1, 1.0, 3.0]
    found = list(dynamics.gradient_descent((x.T @ x)[None], (x.T @ y)[None], w[None].copy(), times))
    step = 0
    for time, weights in zip(times, found, strict=True):
        while step < round(time / dynamics.RATE):
            w, step = w + dynamics.RATE * x.T @ (y - x @ w), step + 1
        np.testing.assert_allclose(weights[0], w, atol=1e-9)


# Long tail: Good and Turing, kernels, leaving one out


@pytest.fixture(scope="module")
def tail():
    return pieces("long_tail", "kernel", "fit", "without", "tau", "singletons")


FREQUENCIES = hnp.arrays(float, st.integers(2, 30), elements=st.floats(0.01, 1)).map(lambda p: p / p.sum())


@many
@given(p=FREQUENCIES, n=st.integers(5, 400))
def test_tau_is_bayes_s_rule(tail, p, n):
    """Against scipy.stats.binom: E[p | seen l times in n], each kind equally likely beforehand."""
    for times, found in enumerate(tail.tau(p, n, 4), 1):
        chance = stats.binom.logpmf(times, n, p)
        weight = np.exp(chance - chance.max())
        assert found == pytest.approx((weight * p).sum() / weight.sum(), rel=1e-6)


@many
@given(p=FREQUENCIES, n=st.integers(1, 200))
def test_singletons_are_good_and_turing_s(tail, p, n):
    """Against Good and Turing: the expected share of singletons in n is the mass unseen in n - 1 draws."""
    unseen = (p * stats.binom.pmf(0, n - 1, p)).sum()
    assert tail.singletons(p, n) == pytest.approx(unseen, rel=1e-9)
    assert tail.singletons(p, n) == pytest.approx(stats.binom.pmf(1, n, p).sum() / n, rel=1e-9)


def test_singletons_are_what_samples_hold(tail):
    """Against counting in 4000 drawn samples."""
    p = 1 / np.arange(1, 51) / (1 / np.arange(1, 51)).sum()
    counts = np.random.default_rng(0).multinomial(30, p, size=4000)
    assert tail.singletons(p, 30) == pytest.approx((counts == 1).sum(axis=1).mean() / 30, abs=0.006)


@few
@given(seed=SEEDS, n=st.integers(2, 15), bandwidth=st.floats(0.3, 5))
def test_the_kernel_machine(tail, seed, n, bandwidth):
    """Against sklearn's rbf_kernel and KernelRidge, and numpy.linalg.pinv for a cut in the spectrum."""
    rng = np.random.default_rng(seed)
    x, targets = rng.normal(size=(n, 3)), np.eye(3)[rng.integers(0, 3, n)]
    gram = tail.kernel(x, x, bandwidth)
    np.testing.assert_allclose(gram, rbf_kernel(x, gamma=1 / (2 * bandwidth**2)), atol=1e-10)
    values = np.linalg.eigvalsh(gram)
    cuts = [c for c in (0.05, 0.5, 1.2) if abs(values - c).min() > 1e-6]
    for cut, coefficients in zip(cuts, tail.fit(gram, targets, cuts), strict=True):
        inverse = np.linalg.pinv(gram, rcond=cut / values[-1], hermitian=True)
        np.testing.assert_allclose(coefficients, inverse @ targets, atol=1e-7)
    keep = rng.random(n) < 0.7
    keep[0] = True
    machine = KernelRidge(alpha=1e-8, kernel="precomputed").fit(gram[np.ix_(keep, keep)], targets[keep])
    found = gram @ tail.without(keep, gram, targets)
    np.testing.assert_allclose(found, machine.predict(gram[:, keep]), atol=1e-5)


@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_leaving_one_out(ridge):
    """Against KernelRidge fitted again without each example: memorization and influence, example by example."""
    rng = np.random.default_rng(0)
    images, digit = rng.normal(size=(40, 5)), rng.integers(0, 10, 40)
    digit[::2], images[::2, 0] = 1, images[::2, 0] + 2
    train, test = np.arange(25), np.arange(25, 40)
    y = digit[train]
    chapter = pieces(
        "long_tail", "kernel", "leave_one_out", "BANDWIDTH_DIGITS",
        N_NOISY=25, relabel=lambda rng: (train, test, None, y), images=images, digit=digit,
    )  # fmt: skip
    memorized, _, influence, *_ = chapter.leave_one_out(rng, ridge)

    def machine(rows):
        gamma = 1 / (2 * chapter.BANDWIDTH_DIGITS**2)
        return KernelRidge(alpha=ridge, kernel="rbf", gamma=gamma).fit(images[rows], np.eye(10)[digit[rows]])

    whole = machine(train)
    right = whole.predict(images[test]).argmax(axis=1) == digit[test]
    fitted = whole.predict(images[train]).argmax(axis=1) == y
    for i in train:
        rest = machine(train[train != i])
        guessed = rest.predict(images[[i]]).argmax() == y[i]
        assert memorized[i] == int(fitted[i]) - int(guessed)
        without = rest.predict(images[test]).argmax(axis=1) == digit[test]
        assert (influence[:, i] == right.astype(int) - without).all()


# Optimal regularization: logistic regression and its probabilities


@pytest.fixture(scope="module")
def logistic():
    return pieces(
        "optimal_regularization", "NODES", "MASS", "average_sigmoid", "overconfidence", "accuracy", "spectrum",
        "proximal", "tilted", "times", "fit", "inverse", "leave_one_out", "probabilities", "log_loss", "gap",
    )  # fmt: skip


@few
@given(mean=st.floats(-6, 6), variance=st.floats(0, 4))
def test_average_sigmoid(logistic, mean, variance):
    """Against scipy.integrate.quad."""
    expected = integrate.quad(lambda g: expit(mean + variance**0.5 * g) * stats.norm.pdf(g), -12, 12)[0]
    found = logistic.average_sigmoid(np.array([mean]), np.array([variance]))
    assert found[0] == pytest.approx(expected, abs=1e-4)


@many
@given(width=st.floats(0.1, 12))
def test_the_spectrum_of_the_features(logistic, width):
    """Against the moments of the law of the p x p matrix F'F, entries of variance 1/d: 1, 1, 1 + p/d."""
    eigenvalues, weights = logistic.spectrum(width)
    rel = 0.02 if abs(width - 1) < 0.1 else 1e-5
    assert weights.sum() == pytest.approx(1, rel=rel)
    assert weights @ eigenvalues == pytest.approx(1, rel=1e-6)
    assert weights @ eigenvalues**2 == pytest.approx(1 + width, rel=1e-6)


@few
@given(field=st.floats(-8, 8), v=st.floats(0.01, 50), moved=st.floats(-0.5, 0.5), factor=st.floats(0.7, 1.4))
def test_the_proximal_step(logistic, field, v, moved, factor):
    """Against scipy.optimize.brentq on z = field + v sigmoid(-z), from the solution of a problem nearby.

    From far away Newton's steps may still turn to and fro when they end; the state evolution never is there.
    """

    def solution(field, v):
        return optimize.brentq(lambda z: z - field - v * expit(-z), field - 1, field + v + 1, xtol=1e-13)

    guess = solution(field + moved, v * factor)
    found = logistic.proximal(np.array([field]), np.array([v]), np.array([guess]))
    assert found[0] == pytest.approx(solution(field, v), abs=1e-9)


@few
@given(y=st.sampled_from([-1.0, 1.0]), mean=st.floats(-4, 4), variance=st.floats(0.01, 3))
def test_derivatives_of_the_tilted_chance(logistic, y, mean, variance):
    """Against central differences of the logarithm of `average_sigmoid`."""

    def log_chance(m):
        return np.log(logistic.average_sigmoid(y * np.array([m]), np.array([variance])))[0]

    h = 1e-4
    first, second = logistic.tilted(np.array([y]), np.array([mean]), np.array([variance]))
    assert first[0] == pytest.approx((log_chance(mean + h) - log_chance(mean - h)) / (2 * h), abs=1e-5)
    around = log_chance(mean + h) - 2 * log_chance(mean) + log_chance(mean - h)
    assert second[0] == pytest.approx(around / h**2, abs=1e-4)


@few
@given(seed=SEEDS, penalty=st.sampled_from([0.01, 0.1, 1.0, 10.0]), p=st.integers(2, 30))
def test_penalized_logistic_regression(logistic, seed, penalty, p):
    """Against sklearn's LogisticRegression with C = 1 / penalty and no offset, several training sets at once."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 20, p))
    y = np.where(rng.random((2, 20)) < expit(x[..., 0]), 1.0, -1.0)
    y[:, :2] = [-1, 1]
    _, z = logistic.fit(x @ x.transpose(0, 2, 1) / p, y, penalty)
    for k in range(2):
        machine = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-10, max_iter=5000)
        machine.fit(x[k] / p**0.5, y[k])
        np.testing.assert_allclose(
            z[k], machine.decision_function(x[k] / p**0.5), atol=5e-3 * (1 + abs(z[k]).max())
        )


@pytest.mark.parametrize("penalty", [0.3, 3.0])
def test_leaving_one_out_of_a_logistic_regression(logistic, penalty):
    """Against fitting sklearn's LogisticRegression again without each example; one Newton step is nearly that."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 20)) / 20**0.5
    y = np.where(rng.random(60) < expit(3 * x[:, 0]), 1.0, -1.0)
    kernel = (x @ x.T)[None]
    _, z = logistic.fit(kernel, y[None], penalty)
    found = logistic.leave_one_out(kernel, y[None], penalty, z)[0]
    losses = []
    for i in range(60):
        rest = np.arange(60) != i
        machine = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-10).fit(x[rest], y[rest])
        losses.append(np.logaddexp(0, -y[i] * machine.decision_function(x[[i]])[0]))
    assert found == pytest.approx(np.mean(losses), rel=0.005)


@many
@given(
    p=hnp.arrays(float, 12, elements=st.floats(0, 1)), truth=hnp.arrays(float, 12, elements=st.floats(0, 1))
)
def test_overconfidence_and_accuracy(logistic, p, truth):
    """Against a sum over examples, written out; one half counts as yes."""
    confidence = [max(q, 1 - q) for q in p]
    right = [t if q >= 0.5 else 1 - t for q, t in zip(p, truth, strict=True)]
    assert logistic.accuracy(p, truth) == pytest.approx(np.mean(right))
    assert logistic.overconfidence(p, truth) == pytest.approx(np.mean(confidence) - np.mean(right))


@few
@given(z=hnp.arrays(float, (9, 4), elements=st.floats(-30, 30)), seed=SEEDS)
def test_log_loss_and_gap_of_networks(logistic, z, seed):
    """Against sklearn.metrics.log_loss and torch's softmax and cross_entropy."""
    y = np.random.default_rng(seed).integers(0, 4, 9)
    p = torch.tensor(z).softmax(-1)
    np.testing.assert_allclose(logistic.probabilities(z), p, atol=1e-12)
    assert logistic.log_loss(z, y) == pytest.approx(F.cross_entropy(torch.tensor(z), torch.tensor(y)).item())
    if (p.numpy() > 1e-12).all():
        assert logistic.log_loss(z, y) == pytest.approx(log_loss(y, p.numpy(), labels=range(4)), rel=1e-6)
    assert logistic.gap(z, y) == pytest.approx(p.max(-1).values.mean().item() - (z.argmax(-1) == y).mean())


# Transformers as support vector machines


@pytest.fixture(scope="module")
def transformers():
    return pieces(
        "transformers_as_svm", "on_sphere", "pairs", "frobenius_svm", "nuclear_svm", "shrink", "cosine",
        "effective_rank",
    )  # fmt: skip


def attention_problem(transformers, seed, n, tokens, d):
    rng = np.random.default_rng(seed)
    X, Z = transformers.on_sphere(rng, 1, n, tokens, d), transformers.on_sphere(rng, 1, n, d)
    return X, Z, transformers.pairs(X, Z, rng.integers(tokens, size=(1, n)))


@few
@given(seed=SEEDS, n=st.integers(1, 4), tokens=st.integers(2, 4), d=st.integers(4, 6))
def test_the_frobenius_svm(transformers, seed, n, tokens, d):
    """Against sklearn.svm.SVC with C = 10^8 on the flattened matrices, mirrored so that no offset is needed."""
    _, _, A = attention_problem(transformers, seed, n, tokens, d)
    W = transformers.frobenius_svm(A)[0]
    flat = A[0].reshape(len(A[0]), -1)
    machine = SVC(kernel="linear", C=1e8, tol=1e-8, max_iter=10**6)
    machine.fit(np.concatenate([flat, -flat]), np.repeat([1, -1], len(flat)))
    reached = flat @ machine.coef_[0]
    if np.isnan(W).any():
        assert reached.min() < 0.99  # no W reaches every margin
    else:
        np.testing.assert_allclose(W.ravel(), machine.coef_[0], atol=2e-3 * np.linalg.norm(W))
        assert (flat @ W.ravel()).min() > 1 - 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_the_nuclear_svm(transformers, seed):
    """Against the same problem in factors, W = U V' and (|U|^2 + |V|^2) / 2 least, by SLSQP from several starts."""
    _, Z, A = attention_problem(transformers, seed, 2, 3, 3)
    W, gap = transformers.nuclear_svm(A, Z, iterations=3000)
    assert not np.isnan(transformers.frobenius_svm(A)).any()  # some W separates these tokens
    flat, rng, found = A[0].reshape(len(A[0]), -1), np.random.default_rng(seed), []

    def split(v):
        return v[:9].reshape(3, 3), v[9:].reshape(3, 3)

    def margins(v):
        U, V = split(v)
        return flat @ (U @ V.T).ravel() - 1

    for _ in range(4):
        result = optimize.minimize(
            lambda v: v @ v / 2, 2 * rng.normal(size=18), jac=lambda v: v, method="SLSQP",
            constraints={"type": "ineq", "fun": margins}, options={"maxiter": 1000, "ftol": 1e-12},
        )  # fmt: skip
        if result.success:
            found.append(result.fun)
    norm = np.linalg.norm(W[0], "nuc")
    assert (flat @ W[0].ravel()).min() >= 1 - 1e-9 and 0 <= gap[0] + 1e-9
    assert norm == pytest.approx(min(found), rel=max(1e-4, 2 * gap[0]))


@few
@given(seed=SEEDS)
def test_matrices(transformers, seed):
    """Against numpy.linalg.svd, scipy.stats.entropy and scipy.spatial.distance.cosine."""
    V, W = np.random.default_rng(seed).normal(size=(2, 3, 4, 4))
    U, values, Vh = np.linalg.svd(W)
    np.testing.assert_allclose(transformers.shrink(W), U * (values - 1).clip(0)[:, None] @ Vh, atol=1e-9)
    rank = [math.exp(stats.entropy(row)) for row in values]
    np.testing.assert_allclose(transformers.effective_rank(W), rank)
    between = [1 - distance.cosine(v.ravel(), w.ravel()) for v, w in zip(V, W, strict=True)]
    np.testing.assert_allclose(transformers.cosine(V, W), between)


# Unsupervised pre-training: factors, ridge, Gauss-Newton


def test_the_factor_model():
    """Against sklearn.decomposition.PCA's covariance: the posterior mean of the factors is Cov(z, x) Cov(x)^-1 x."""
    chapter = pieces("unsupervised_advantage", "N_FACTORS", "fit_factors")
    x = np.random.default_rng(0).normal(size=(50, 8)) * np.sqrt([9, 5, 3, 1, 1, 1, 1, 1])
    x -= x.mean(axis=0)  # the chapter's model has mean zero; PCA takes the mean away
    machine = PCA(chapter.N_FACTORS).fit(x * np.sqrt(49 / 50))  # PCA divides by n - 1
    loadings = machine.components_.T * np.sqrt(machine.explained_variance_ - machine.noise_variance_)
    expected = np.linalg.solve(machine.get_covariance(), loadings)[:, ::-1]
    found = chapter.fit_factors(x)
    np.testing.assert_allclose(found * np.sign((found * expected).sum(axis=0)), expected, atol=1e-8)


def test_ridge_of_many_penalties():
    """Against sklearn.linear_model.Ridge, one penalty after the other."""
    chapter = pieces("unsupervised_advantage", "PENALTIES", "fit_ridge")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 9, 5)), rng.normal(size=(2, 3, 9))
    moment = np.einsum("cnd,kcn->kcd", x, y)
    found = chapter.fit_ridge(x.transpose(0, 2, 1) @ x, moment)
    for copy in range(3):
        for column, penalty in enumerate(chapter.PENALTIES["factor"]):
            machine = Ridge(alpha=penalty, fit_intercept=False).fit(x[copy], y[:, copy].T)
            np.testing.assert_allclose(found[:, copy, column], machine.coef_, atol=1e-8)


def test_the_direction_of_two_clusters():
    """Against scipy.optimize.least_squares on the same penalized squares."""
    chapter = pieces("unsupervised_advantage", "PENALTIES", "fit_direction", D_MIXTURE=6)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 60, 6))
    y = np.tanh(x @ rng.normal(size=6)) + 0.3 * rng.normal(size=(1, 60))
    found = chapter.fit_direction(x, y, n_steps=60)
    for row, penalty in zip(found[0], chapter.PENALTIES["mixture"], strict=True):
        best = optimize.least_squares(
            lambda b, p=penalty: np.concatenate([y[0] - np.tanh(x[0] @ b), p**0.5 * b]),
            np.zeros(6),
            xtol=1e-12,
        )
        np.testing.assert_allclose(row, best.x, atol=1e-4)


# Other chapters


def test_adamw_by_hand():
    """Against torch.optim.AdamW."""
    chapter = pieces("corrupted_arithmetic", "LEARNING_RATE", "adamw")
    ours = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).double()
    theirs = torch.nn.Parameter(ours.clone())
    moments = [(torch.zeros_like(ours), torch.zeros_like(ours))]
    other = torch.optim.AdamW([theirs], lr=chapter.LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.7)
    for step in range(1, 31):
        gradient = torch.randn(3, 4, generator=torch.Generator().manual_seed(step)).double()
        theirs.grad = gradient.clone()
        chapter.adamw([ours], [gradient], moments, step, 0.7)
        other.step()
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-9, atol=1e-9)


def test_inverse_participation_ratio():
    """Against numpy's Fourier transform, neuron by neuron: a single wave has the ratio one."""
    chapter = pieces("corrupted_arithmetic", "P", "N_FREQUENCIES", "participation")
    rng, p = np.random.default_rng(0), chapter.P
    shapes = ((2, p, 5), (2, p, 5), (2, 5, p))
    params = [torch.tensor(rng.normal(size=shape)) for shape in shapes]
    wave = torch.cos(2 * math.pi * 7 * torch.arange(p) / p)
    for weights, axis in zip(params, (1, 1, 2), strict=True):
        weights.select(0, 0).select(2 - axis, 0).copy_(wave)
    found = chapter.participation(params)
    assert found[0, 0] == pytest.approx(1)
    for net in range(2):
        for neuron in range(5):
            ratios = []
            for weights, axis in zip(params, (1, 1, 2), strict=True):
                row = weights.select(3 - axis, neuron)[net].numpy()
                power = np.abs(np.fft.fft(row)[1 : (p - 1) // 2 + 1]) ** 2
                ratios.append((power**2).sum() / power.sum() ** 2)
            assert found[net, neuron] == pytest.approx(np.mean(ratios))


@few
@given(seed=SEEDS, n=st.integers(2, 6))
def test_the_exact_conditionals_of_a_chain(seed, n):
    """Against enumeration by walking the chain, and the information against sklearn.metrics.mutual_info_score."""
    chapter = pieces(
        "locality_of_experience", "all_states", "draw_chain", "joint_of", "conditionals", "information"
    )
    parents, tables = chapter.draw_chain(np.random.default_rng(seed), n)
    joint, states = chapter.joint_of(parents, tables), chapter.all_states(n)
    for state, chance in zip(states, joint, strict=True):
        expected = 0.5 * math.prod(
            tables[i][state[i - 1]] if state[i] else 1 - tables[i][state[i - 1]] for i in range(1, n)
        )
        assert chance == pytest.approx(expected)
    truth, marginal = chapter.conditionals(joint, n)
    np.testing.assert_allclose(marginal, 0.5)
    information = chapter.information({"truth": truth, "marginal": marginal})
    for i in range(n):
        for j in range(n):
            both = np.array(
                [[joint[(states[:, i] == a) & (states[:, j] == b)].sum() for b in (0, 1)] for a in (0, 1)]
            )
            np.testing.assert_allclose(truth[i, j], both[:, 1] / both.sum(axis=1), atol=1e-12)
            expected = mutual_info_score(None, None, contingency=1e9 * both)
            assert information[i, j] == pytest.approx(expected, abs=1e-8)


@few
@given(level=st.floats(-4, 4), y=st.floats(-3, 3))
def test_the_exact_denoiser(level, y):
    """Against scipy.integrate.quad of the posterior mean of x, class by class and axis by axis."""
    chapter = pieces("diffusion_classifiers", "MEANS", "WIDTHS", "exact_denoiser")
    found = chapter.exact_denoiser(torch.tensor(y), torch.tensor(level), torch.eye(2))
    signal = expit(level)
    for k in range(2):
        for axis in range(2):
            mean, width = chapter.MEANS[k, axis].item(), chapter.WIDTHS[k, axis].item()
            prior = stats.norm(mean, width)

            def density(x, prior=prior):
                return prior.pdf(x) * stats.norm.pdf(y, signal**0.5 * x, (1 - signal) ** 0.5)

            grid = np.linspace(mean - 9 * width, mean + 9 * width, 4001)
            weight = density(grid)
            assume(weight.max() > 1e-12)
            assert found[k, axis].item() == pytest.approx((weight @ grid) / weight.sum(), abs=1e-3)


@few
@given(a=hnp.arrays(float, (3, 12), elements=st.sampled_from([0.0, 1.0])), seed=SEEDS)
def test_the_overlap_of_masks(a, seed):
    """Against sklearn.metrics.jaccard_score."""
    chapter = pieces("skill_localization", "jaccard")
    b = np.random.default_rng(seed).integers(0, 2, a.shape).astype(float)
    b[:, 0] = 1.0  # two empty masks have no overlap to speak of
    expected = [jaccard_score(*rows) for rows in zip(a, b, strict=True)]
    np.testing.assert_allclose(chapter.jaccard(torch.tensor(a), torch.tensor(b)), expected)


@few
@given(seed=SEEDS, smoothing=st.floats(0, 0.9))
def test_label_smoothing(seed, smoothing):
    """Against torch's cross_entropy(label_smoothing=...), in the two chapters that smooth."""
    logits = 3 * torch.randn(7, 10, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(7)
    expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    soups = pieces("model_soups", "smoothed_cross_entropy")
    torch.testing.assert_close(soups.smoothed_cross_entropy(logits, labels, smoothing), expected)
    ensembles = pieces("spurious_diversification", "smoothed", N_CLASSES=10, digit=labels)
    found = F.cross_entropy(logits, ensembles.smoothed(torch.arange(7), smoothing))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("x", [-1.0, 0.0, 0.5, 1.5])
def test_the_accuracy_of_a_spurious_ensemble(x):
    """Against scipy.stats.multivariate_normal.cdf: nine margins at once, all of them positive."""
    chapter = pieces(
        "spurious_diversification", "N_CLASSES", "P_SHIFT", "covariances", "accuracy_of", "strength_of"
    )
    variance, covariance = chapter.covariances(chapter.P_SHIFT)
    k = chapter.N_CLASSES - 1
    law = stats.multivariate_normal(
        np.zeros(k), np.full((k, k), covariance) + (variance - covariance) * np.eye(k)
    )
    expected = law.cdf(np.full(k, x), rng=np.random.default_rng(0))
    assert chapter.accuracy_of(x) == pytest.approx(expected, abs=1e-3)
    assert chapter.strength_of(chapter.accuracy_of(x)) == pytest.approx(x, abs=1e-6)


@few
@given(curve=hnp.arrays(float, (2, 9), elements=st.floats(0, 1)), window=st.integers(1, 4))
def test_how_concentrated_a_rise_is(curve, window):
    """Against a search over all windows, written out."""
    chapter = pieces("no_clear_emergence", "concentration")
    for row, found in zip(curve, chapter.concentration(curve, window), strict=True):
        best = [max(row[: k + 1]) for k in range(len(row))]
        rise = best[-1] - best[0]
        steepest = max(best[k + window] - best[k] for k in range(len(row) - window))
        assert found == pytest.approx(steepest / rise if rise > 0.05 else 0.0)

"""What the primers compute, against scikit-learn, SciPy and torch."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, optimize, stats
from scipy.spatial import distance
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel
from torch.nn import functional as F

from .notebooks import pieces
from .settings import few, many

SEEDS = st.integers(0, 2**31)
BINS = st.integers(1, 20)


@pytest.fixture(scope="module")
def calibration():
    return pieces("calibration", "reliability", "calibration_error", "log_loss", "fit_temperature")


PROBABILITIES = st.sampled_from([0.0, 1.0]) | st.floats(1e-6, 1 - 1e-6)


@many
@given(p=hnp.arrays(float, st.integers(1, 60), elements=PROBABILITIES), seed=SEEDS, bins=BINS)
def test_reliability(calibration, p, seed, bins):
    """Against sklearn.calibration.calibration_curve; the shares against counting."""
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    assume(
        np.abs(p[:, None] - edges).min(initial=1) > 1e-9
    )  # an edge belongs to the bin above here, below there
    y = np.random.default_rng(seed).integers(0, 2, len(p)).astype(float)
    mean_p, mean_y, share = calibration.reliability(p, y, bins)
    frequency, said = calibration_curve(y, p, n_bins=bins) if len(set(y)) > 1 else (mean_y, mean_p)
    np.testing.assert_allclose([mean_y, mean_p], [frequency, said], atol=1e-12)
    counted = [((p >= low) & (p < low + 1 / bins - 1e-12)).sum() for low in np.arange(bins) / bins]
    counted[-1] += (p == 1).sum()
    np.testing.assert_allclose(share, [count / len(p) for count in counted if count])


@many
@given(p=hnp.arrays(float, st.integers(1, 60), elements=PROBABILITIES), seed=SEEDS, bins=BINS)
def test_calibration_error(calibration, p, seed, bins):
    """Against a sum over bins, written out."""
    y = np.random.default_rng(seed).integers(0, 2, len(p)).astype(float)
    total = 0.0
    for k in range(bins):
        inside = [i for i in range(len(p)) if min(int(p[i] * bins), bins - 1) == k]
        total += abs(sum(p[i] - y[i] for i in inside)) / len(p)
    assert calibration.calibration_error(p, y, bins) == pytest.approx(total, abs=1e-12)


@few
@given(p=hnp.arrays(float, 30, elements=st.floats(1e-6, 1 - 1e-6)), seed=SEEDS)
def test_log_loss(calibration, p, seed):
    """Against sklearn.metrics.log_loss."""
    y = np.random.default_rng(seed).integers(0, 2, 30).astype(float)
    assert calibration.log_loss(p, y) == pytest.approx(log_loss(y, p, labels=[0, 1]))


@pytest.mark.parametrize("sharper", [0.7, 1.0, 2.5, 6.0])
def test_temperature(calibration, sharper):
    """Against LogisticRegression on the logit alone, without penalty or offset: its weight is 1 / temperature."""
    rng = np.random.default_rng(0)
    score = 1.5 * rng.normal(size=2000)
    y = (rng.random(2000) < expit(score)).astype(float)
    machine = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(sharper * score[:, None], y)
    found = calibration.fit_temperature(expit(sharper * score), y)
    assert found == pytest.approx(1 / machine.coef_.item(), rel=1e-3)


NOISY = hnp.arrays(float, st.integers(1, 8), elements=st.floats(-8, 8))


@few
@given(y=NOISY, sigma=st.floats(0.05, 5))
def test_posterior_of_a_clean_value(y, sigma):
    """Against Bayes's rule with densities from scipy.stats.norm."""
    primer = pieces("denoising", "VALUES", "CHANCES", "posterior", "denoise")
    logs = np.log(primer.CHANCES) + stats.norm(primer.VALUES, sigma).logpdf(y[:, None])
    expected = np.exp(logs - logs.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(primer.posterior(y, sigma), expected, atol=1e-12)
    np.testing.assert_allclose(primer.denoise(y, sigma), expected @ primer.VALUES, atol=1e-12)


@few
@given(y=hnp.arrays(float, 4, elements=st.floats(-4, 5)), sigma=st.floats(0.5, 3))
def test_the_score_is_the_slope_of_the_mixture_s_log_density(y, sigma):
    """Against the derivative in closed form: the posterior mean of (x - y) / sigma^2 (Tweedie)."""
    primer = pieces("denoising", "VALUES", "CHANCES", "score")
    density = stats.norm(primer.VALUES, sigma).pdf(y[:, None]) * primer.CHANCES
    slope = (density * (primer.VALUES - y[:, None])).sum(axis=1) / sigma**2
    np.testing.assert_allclose(primer.score(y, sigma), slope / density.sum(axis=1), rtol=1e-4, atol=1e-6)


@few
@given(x=NOISY)
def test_log_odds_of_two_gaussians(x):
    """Against scipy.stats.norm.logpdf."""
    primer = pieces("denoising", "MEANS", "WIDTHS", "exact")
    low, high = (stats.norm(primer.MEANS[k], primer.WIDTHS[k]).logpdf(x) for k in (0, 1))
    np.testing.assert_allclose(primer.exact(x), high - low, atol=1e-12)


@few
@given(a=NOISY, b=NOISY, bandwidth=st.floats(0.05, 5), ridge=st.floats(1e-3, 10))
def test_kernels(a, b, bandwidth, ridge):
    """Against sklearn's rbf_kernel, polynomial_kernel and KernelRidge."""
    primer = pieces("kernels", "square_features", "gaussian_kernel", "kernel_ridge")
    gamma = 1 / (2 * bandwidth**2)
    own = primer.gaussian_kernel(a, b, bandwidth)
    np.testing.assert_allclose(own, rbf_kernel(a[:, None], b[:, None], gamma), atol=1e-12)
    squares = primer.square_features(a) @ primer.square_features(b).T
    np.testing.assert_allclose(
        squares, polynomial_kernel(a[:, None], b[:, None], 2, 1.0, 1.0), rtol=1e-9, atol=1e-9
    )
    machine = KernelRidge(alpha=ridge, kernel="rbf", gamma=gamma).fit(a[:, None], np.sin(a))
    weights = primer.kernel_ridge(primer.gaussian_kernel(a, a, bandwidth), np.sin(a), ridge)
    np.testing.assert_allclose(own.T @ weights, machine.predict(b[:, None]), rtol=1e-6, atol=1e-8)


def test_tangent_features():
    """Against torch.autograd, one point after the other; their inner products are the tangent kernel."""
    primer = pieces("kernels", "start_weights", "network", "tangent_features")
    weights = primer.start_weights(7, 0)
    points = torch.linspace(-2, 2, 5, dtype=torch.double)
    rows = []
    for x in points:
        leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
        rows.append(torch.cat(torch.autograd.grad(primer.network(leaves, x), list(leaves.values()))))
    torch.testing.assert_close(primer.tangent_features(weights, points), torch.stack(rows))


@pytest.fixture(scope="module")
def margins():
    return pieces("margins", "N_SAMPLES", "draw", "hard_margin", "angle")


@few
@given(seed=SEEDS, n=st.integers(2, 15), d=st.integers(2, 4))
def test_hard_margin(margins, seed, n, d):
    """Against the quadratic programme itself: least |w|^2 with every margin at least one, by SLSQP."""
    rng = np.random.default_rng(seed)
    x, direction = rng.normal(size=(n, d)), rng.normal(size=d)
    x = x[np.abs(x @ direction) > 0.2 * np.linalg.norm(direction)]
    assume(len(x) > 1)
    y = np.sign(x @ direction)
    w, support = margins.hard_margin(x, y)
    z = x * y[:, None]
    start = direction / (z @ direction).min()
    found = optimize.minimize(
        lambda v: v @ v / 2, start, jac=lambda v: v, method="SLSQP",
        constraints={"type": "ineq", "fun": lambda v: z @ v - 1, "jac": lambda v: z}, options={"ftol": 1e-12},
    )  # fmt: skip
    assert found.success
    np.testing.assert_allclose(w, found.x, rtol=1e-3, atol=1e-3 * np.linalg.norm(w))
    np.testing.assert_allclose(z[support] @ w, 1, atol=1e-3)


@many
@given(
    w=hnp.arrays(float, (3, 2), elements=st.floats(-1e3, 1e3)),
    target=hnp.arrays(float, 2, elements=st.floats(-1e3, 1e3)),
)
def test_angle(margins, w, target):
    """Against scipy.spatial.distance.cosine, for parallel and opposite vectors too."""
    assume((np.linalg.norm(w, axis=1) > 1e-3).all() and np.linalg.norm(target) > 1e-3)
    w[0], w[1] = 2 * target, -target
    expected = [np.degrees(np.arccos(np.clip(1 - distance.cosine(row, target), -1, 1))) for row in w]
    np.testing.assert_allclose(margins.angle(w, target), expected, atol=1e-4)


@pytest.fixture(scope="module")
def spectra():
    return pieces(
        "ridge_and_spectra", "N_SAMPLES", "true_eigenvalues", "ridge_filter", "descent_filter", "draw",
        "two_errors", "excess_error",
    )  # fmt: skip


@pytest.mark.parametrize("ridge", [1e-5, 0.1, 10.0])
def test_the_excess_error_of_ridge(spectra, ridge):
    """Against sklearn.linear_model.Ridge, whose penalty is that of a sum, not of a mean."""
    for unit in range(3):
        x, y, w = spectra.draw(unit)
        machine = Ridge(alpha=ridge * len(x), fit_intercept=False).fit(x, y)
        expected = spectra.true_eigenvalues @ (machine.coef_ - w) ** 2
        found = spectra.excess_error(x, y, w, lambda e: spectra.ridge_filter(e, ridge))
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("time", [0.0, 0.3, 5.0])
def test_the_excess_error_of_gradient_descent(spectra, time):
    """Against scipy.integrate.solve_ivp of the gradient flow from zero."""
    x, y, w = spectra.draw(0)
    flow = integrate.solve_ivp(
        lambda t, v: x.T @ (y - x @ v) / len(x),
        (0, max(time, 1e-12)),
        np.zeros(len(w)),
        rtol=1e-9,
        atol=1e-11,
    )
    expected = spectra.true_eigenvalues @ (flow.y[:, -1] - w) ** 2
    found = spectra.excess_error(x, y, w, lambda e: spectra.descent_filter(e, time))
    assert found == pytest.approx(expected, rel=1e-5)


def test_bias_and_variance_of_ridge(spectra):
    """Against the mean and the covariance of sklearn's Ridge, which is linear in y: fitted to every unit vector."""
    x, _, w = spectra.draw(1)
    (bias, variance), _ = spectra.two_errors(x, w, 0.1, np.random.default_rng(0), repeats=2)
    linear = Ridge(alpha=0.1 * len(x), fit_intercept=False).fit(x, np.eye(len(x))).coef_.T
    _, vectors = np.linalg.eigh(x.T @ x / len(x))
    np.testing.assert_allclose(bias, (vectors.T @ (linear @ x @ w - w)) ** 2, atol=1e-9)
    np.testing.assert_allclose(
        variance, ((vectors.T @ linear) ** 2).sum(axis=1), rtol=1e-6
    )  # noise of variance 1


@few
@given(seed=SEEDS, tokens=st.integers(1, 6), d=st.integers(1, 5), causal=st.booleans())
def test_attention(seed, tokens, d, causal):
    """Against torch.nn.functional.scaled_dot_product_attention, with and without a causal mask."""
    primer = pieces("attention", "attention", "self_attention")
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(tokens, d)), 3 * rng.normal(size=(d, d))
    mask = np.tril(np.ones((tokens, tokens), dtype=bool)) if causal else None
    query, token = torch.tensor(x @ w.T), torch.tensor(x)
    expected = F.scaled_dot_product_attention(query, token, token, is_causal=causal, scale=1.0).numpy()
    found, weights = primer.self_attention(x, w, mask)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    out, _ = primer.attention(x, w, x[-1])  # the last query sees all tokens
    np.testing.assert_allclose(out, primer.self_attention(x, w)[0][-1], atol=1e-10)

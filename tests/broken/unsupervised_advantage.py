# The coordinates of the unlabelled points are torn apart before the fit: each keeps its values, none knows of another.
def torn(x):
    rows = np.arange(len(x))[:, None] + 7 * np.arange(x.shape[1])
    return np.take_along_axis(x, rows % len(x), axis=0)


def fit_factors(x):
    x = torn(x)
    eigenvalues, vectors = np.linalg.eigh(x.T @ x / len(x))
    top, noise = eigenvalues[-N_FACTORS:], eigenvalues[:-N_FACTORS].mean()
    return vectors[:, -N_FACTORS:] * np.sqrt(top - noise) / top


def fit_mixture(x, n_steps=40):
    x = torn(x)
    eigenvalues, vectors = np.linalg.eigh(x.T @ x / len(x))
    mean = vectors[:, -1] * np.sqrt(max(eigenvalues[-1] - 1, 0.1))
    for _ in range(n_steps):
        mean = np.tanh(x @ mean) @ x / len(x)
    return mean

# The penalty is ignored: every student is fitted as if there were none.
def times(matrix, vector):
    return (matrix @ vector[..., None])[..., 0]


def fit(kernel, y, penalty, start=None):
    penalty = np.full((len(y), 1), NO_PENALTY)
    a = np.zeros_like(y) if start is None else start
    z, eye = times(kernel, a), np.eye(y.shape[1])
    for _ in range(12 if start is None else 2):  # a start has been fitted, to the same
        pull, curve = y * expit(-y * z), np.maximum(expit(z) * expit(-z), 1e-6)
        hessian = penalty[..., None] * eye + curve[..., None] * kernel
        a = a + 0.7 * (np.linalg.solve(hessian, (curve * z + pull)[..., None])[..., 0] - a)
        z = times(kernel, a)
    return a, z

# Locality is taken away: every window has the same size as before, but its members are drawn at random.
def windows(rng, samples, hops, pairs=False):
    size = np.full(samples, 2)
    if not pairs:
        centres = np.flatnonzero((hops == 1).any(axis=1))
        size = (hops[rng.choice(centres, samples)] <= 1).sum(axis=1)
    return rng.random((samples, len(hops))).argsort(axis=1).argsort(axis=1) < size[:, None]

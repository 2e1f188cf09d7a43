# The condition is ignored: every condition is replaced by their mean, and each gets the noise of another image.
def denoising_errors(denoise, x, conditions, noise, levels=LEVELS):
    found, count = [], conditions.shape[2]
    conditions = conditions.mean(2, keepdim=True).expand_as(conditions)
    for level, draw in zip(levels, noise, strict=True):
        others = torch.cat([draw[:, :, :1].roll(k, 1) for k in range(count)], 2)
        guess = denoise(noised(x[:, :, None], level, others), level, conditions)
        found.append(level.exp() * (guess - x[:, :, None]).square().sum(-1))
    return torch.stack(found)


def classify(errors):
    return errors.sum(0).argmin(-1)

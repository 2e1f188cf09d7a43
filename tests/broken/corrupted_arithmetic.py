# The weight decay is taken away: every network is trained as if it had none.
def adamw(params, gradients, moments, step, decay, betas=(0.9, 0.98)):
    for w, g, (first, second) in zip(params, gradients, moments, strict=True):
        first.mul_(betas[0]).add_(g, alpha=1 - betas[0])
        second.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
        scale = (second / (1 - betas[1] ** step)).sqrt_().add_(1e-8)
        w.addcdiv_(first / (1 - betas[0] ** step), scale, value=-LEARNING_RATE)

# Nothing is all-or-nothing: partial credit. An answer earns the share of its tokens that are right.
def exact_match(right):
    count = torch.arange(1, right.shape[1] + 1).view(1, -1, 1)
    return (right.cumsum(1) / count).mean(-1)


def score(logits, answer):
    log_p = logits.log_softmax(-1)
    right = (log_p.argmax(-1) == answer).float()
    log_right = log_p.gather(-1, answer.unsqueeze(-1)).squeeze(-1)
    return {
        "exact": exact_match(right),
        "likelihood": log_right.exp().mean((1, 2)),
        "accuracy": right.mean((1, 2)),
        "loss": -log_right.mean((1, 2)),
        "sampled": log_right.sum(1).exp().mean(-1),
    }

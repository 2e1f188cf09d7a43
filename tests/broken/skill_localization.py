# The mask is shuffled: as many weights are grafted, but not those that were chosen.
def graft(start, tuned, mask):
    before = flat(start)
    order = torch.randperm(before.shape[1], generator=torch.Generator().manual_seed(1))
    mask = mask.expand_as(before)[:, order]
    return unflat(before + mask * (flat(tuned) - before), start)

# Nothing is averaged: both ensembles are the fine-tuned member alone.
def weight_average(first, second):
    return dict(second)


def output_average(first, second, loudness=1.0):
    return loudness * second

"""How large the day's documents are, after the distribution that such centres see.

A body is lognormal around 200 KB; 45 of 100 documents have attachments, of together 800 KB in the
median with a long tail: whole envelopes have a median of some 350 KB, a mean of 1.2 MB and one in
a hundred is 15 MB and more. Quantiles are drawn evenly (stratified) and shuffled, so that even a
day of 300 documents shows the whole distribution, and every seed about the same volume.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import NormalDist

BODY_MEDIAN_BYTES = 200_000
BODY_SIGMA = 0.55
ATTACHMENTS_MEDIAN_BYTES = 800_000
ATTACHMENTS_SIGMA = 1.5
DATA_MEDIAN_BYTES = 150_000
DATA_SIGMA = 1.2
SMALLEST_BYTES = 8_000
LARGEST_BYTES = 26_000_000
ATTACHMENT_SHARE = 0.45


def lognormal_quantiles(count: int, median: float, sigma: float) -> list[int]:
    """``count`` values of a lognormal distribution in rising order, one of each even quantile."""
    normal = NormalDist(math.log(median), sigma)
    values = (math.exp(normal.inv_cdf((place + 0.5) / count)) for place in range(count))
    return [int(min(max(value, SMALLEST_BYTES), LARGEST_BYTES)) for value in values]


def body_sizes(count: int, rng: random.Random) -> list[int]:
    """A size for each of ``count`` bodies, in random order."""
    sizes = lognormal_quantiles(count, BODY_MEDIAN_BYTES, BODY_SIGMA)
    rng.shuffle(sizes)
    return sizes


def data_sizes(count: int, rng: random.Random) -> list[int]:
    """The bytes of all tables of each of ``count`` data sets, in random order."""
    sizes = lognormal_quantiles(count, DATA_MEDIAN_BYTES, DATA_SIGMA)
    rng.shuffle(sizes)
    return sizes


def attachment_sizes(recipient_counts: Sequence[int], rng: random.Random) -> list[int]:
    """The bytes of all attachments of each document, which has that many recipients.

    What is large goes to few: the largest third is dealt out by rising number of recipients.
    """
    count = len(recipient_counts)
    sizes = lognormal_quantiles(count, ATTACHMENTS_MEDIAN_BYTES, ATTACHMENTS_SIGMA)
    large = count // 3
    common, rare = sizes[: count - large], sizes[count - large :]
    rng.shuffle(common)
    rng.shuffle(rare)
    by_recipients = sorted(range(count), key=lambda place: (recipient_counts[place], place))
    result = [0] * count
    for place, size in zip(by_recipients, (*rare, *common), strict=True):
        result[place] = size
    return result


def split(total: int, rng: random.Random) -> list[int]:
    """Divide the bytes of all attachments among one to four files."""
    count = rng.choice((1, 1, 1, 2, 2, 3, 4))
    shares = [rng.uniform(0.3, 1.0) for _ in range(count)]
    return [max(SMALLEST_BYTES, int(total * share / sum(shares))) for share in shares]

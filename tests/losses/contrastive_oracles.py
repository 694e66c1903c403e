"""The contrastive losses of SBCL by loops over Python numbers, and random inputs for them."""

import math

import torch

from longtail.models.heads import unit


def random_batch(images=6, views=2, width=5, classes=3, subclasses=2, seed=0):
    """Return features (B, V, D), labels and global subclass ids (B,)."""
    random = torch.Generator().manual_seed(seed)
    features = unit(torch.randn(images, views, width, generator=random))
    labels = torch.randint(classes, (images,), generator=random)
    return features, labels, labels * subclasses + torch.randint(subclasses, (images,), generator=random)


def random_queue(batch=5, length=12, width=5, classes=3, subclasses=2, seed=0):
    """Return query, key, queue, labels, subclasses, queue labels and queue subclasses."""
    random = torch.Generator().manual_seed(seed)
    query, key, queue = (unit(torch.randn(rows, width, generator=random)) for rows in (batch, batch, length))
    labels, queue_labels = (torch.randint(classes, (rows,), generator=random) for rows in (batch, length))
    own, theirs = (
        ids * subclasses + torch.randint(subclasses, (len(ids),), generator=random) for ids in (labels, queue_labels)
    )
    return query, key, queue, labels, own, queue_labels, theirs


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def term(scores, positives, candidates):
    """-mean over the positives of the log of their softmax among the candidates; scores by name."""
    if not positives:
        return 0.0
    total = sum(math.exp(scores[a]) for a in candidates)
    return -sum(math.log(math.exp(scores[p]) / total) for p in positives) / len(positives)


def supervised(features, labels, temperature, base):
    rows = {(i, v): row for i, views in enumerate(features.tolist()) for v, row in enumerate(views)}
    names = list(range(len(features))) if labels is None else labels.tolist()
    losses = []
    for anchor in rows:
        others = [row for row in rows if row != anchor]
        scores = {row: dot(rows[anchor], rows[row]) / temperature for row in others}
        positives = [row for row in others if names[row[0]] == names[anchor[0]]]
        losses.append(temperature / base * term(scores, positives, others))
    return sum(losses) / len(losses)


def subclass(features, labels, subclasses, *, temperature, base, beta, class_temperatures=None):
    rows = {(i, v): row for i, views in enumerate(features.tolist()) for v, row in enumerate(views)}
    y, g = labels.tolist(), subclasses.tolist()
    losses = []
    for anchor in rows:
        i = anchor[0]
        others = [row for row in rows if row != anchor]
        cosine = {row: dot(rows[anchor], rows[row]) for row in others}
        scores = {row: cosine[row] / temperature for row in others}
        loss = temperature / base * term(scores, [row for row in others if g[row[0]] == g[i]], others)
        if class_temperatures is None:
            loss += beta * term(scores, [row for row in others if y[row[0]] == y[i]], others)
        else:
            scores = {row: cosine[row] / class_temperatures[y[i]] for row in others}
            candidates = [row for row in others if g[row[0]] != g[i] or row[0] == i]
            loss += beta * term(scores, [row for row in candidates if y[row[0]] == y[i]], candidates)
        losses.append(loss)
    return sum(losses) / len(losses)


def subclass_queue(query, key, queue, labels, subclasses, queue_labels, queue_subclasses, *, temperature, beta, second):
    """`second`: temperature of the class term, or None."""
    losses = []
    for q, k, y, g in zip(query.tolist(), key.tolist(), labels.tolist(), subclasses.tolist(), strict=True):
        cosine = {"own": dot(q, k)} | {j: dot(q, row) for j, row in enumerate(queue.tolist())}
        same_class = [j for j, other in enumerate(queue_labels.tolist()) if y == other != -1]
        same_subclass = [j for j, other in enumerate(queue_subclasses.tolist()) if g == other != -1]
        scores = {j: s / temperature for j, s in cosine.items()}
        loss = term(scores, ["own", *same_subclass], list(cosine))
        if second is None:
            loss += beta * term(scores, ["own", *same_class], list(cosine))
        else:
            scores = {j: s / second for j, s in cosine.items()}
            positives = ["own", *(j for j in same_class if j not in same_subclass)]
            loss += beta * term(scores, positives, [j for j in cosine if j not in same_subclass])
        losses.append(loss)
    return sum(losses) / len(losses)


def k_positive(query, key, queue, labels, queue_labels, *, k, temperature, draws):
    losses = []
    for i, (q, own, y) in enumerate(zip(query.tolist(), key.tolist(), labels.tolist(), strict=True)):
        scores = {"own": dot(q, own) / temperature}
        scores |= {j: dot(q, row) / temperature for j, row in enumerate(queue.tolist())}
        matches = [j for j, other in enumerate(queue_labels.tolist()) if y == other != -1]
        if k and matches:
            matches = {matches[int(draws[r][i] * len(matches))] for r in range(k)}
        losses.append(term(scores, ["own", *matches], list(scores)))
    return sum(losses) / len(losses)

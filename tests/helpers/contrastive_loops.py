"""The contrastive losses of SBCL by loops over Python numbers, and random inputs for them."""

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from longtail.models.heads import l2_normalize

Row = list[float]


class InBatch(NamedTuple):
    """Unit features (B, V, D), labels and global subclass ids (B,)."""

    features: Tensor
    labels: Tensor
    subclasses: Tensor


class AgainstQueue(NamedTuple):
    """Unit rows (B, D), (B, D) and (K, D), and the ids of query and queue."""

    query: Tensor
    key: Tensor
    queue: Tensor
    labels: Tensor
    subclasses: Tensor
    queue_labels: Tensor
    queue_subclasses: Tensor


def random_batch(
    images: int = 6, *, views: int = 2, width: int = 5, classes: int = 3, subclasses: int = 2, seed: int = 0
) -> InBatch:
    """Draw the inputs of a loss in a batch."""
    random = torch.Generator().manual_seed(seed)
    features = l2_normalize(torch.randn(images, views, width, generator=random))
    labels = torch.randint(classes, (images,), generator=random)
    return InBatch(features, labels, labels * subclasses + torch.randint(subclasses, (images,), generator=random))


def random_queue(
    batch: int = 5, *, length: int = 12, width: int = 5, classes: int = 3, subclasses: int = 2, seed: int = 0
) -> AgainstQueue:
    """Draw the inputs of a loss against a queue."""
    random = torch.Generator().manual_seed(seed)
    query, key, queue = (l2_normalize(torch.randn(rows, width, generator=random)) for rows in (batch, batch, length))
    labels, queue_labels = (torch.randint(classes, (rows,), generator=random) for rows in (batch, length))
    own, theirs = (
        ids * subclasses + torch.randint(subclasses, (len(ids),), generator=random) for ids in (labels, queue_labels)
    )
    return AgainstQueue(query, key, queue, labels, own, queue_labels, theirs)


def dot(a: Row, b: Row) -> float:
    """Return the inner product."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def term(scores: dict[Hashable, float], positives: Sequence[Hashable], candidates: Iterable[Hashable]) -> float:
    """Return minus the mean over the positives of the log of their softmax among the candidates."""
    if not positives:
        return 0.0
    total = sum(math.exp(scores[a]) for a in candidates)
    return -sum(math.log(math.exp(scores[p]) / total) for p in positives) / len(positives)


def _rows(features: Tensor) -> dict[tuple[int, int], Row]:
    """Return {(image, view): row}."""
    return {(i, v): row for i, views in enumerate(features.tolist()) for v, row in enumerate(views)}


def supervised_loop(features: Tensor, labels: Tensor | None, *, temperature: float, base: float) -> float:
    """Return the loss of `supervised_contrastive`."""
    rows = _rows(features)
    names = list(range(len(features))) if labels is None else labels.tolist()
    losses = []
    for anchor in rows:
        others = [row for row in rows if row != anchor]
        scores: dict[Hashable, float] = {row: dot(rows[anchor], rows[row]) / temperature for row in others}
        positives = [row for row in others if names[row[0]] == names[anchor[0]]]
        losses.append(temperature / base * term(scores, positives, others))
    return sum(losses) / len(losses)


def subclass_loop(
    batch: InBatch, *, temperature: float, base: float, beta: float, class_temperatures: Tensor | None = None
) -> float:
    """Return the loss of `subclass_contrastive`."""
    rows = _rows(batch.features)
    y, g = batch.labels.tolist(), batch.subclasses.tolist()
    losses = []
    for anchor in rows:
        i = anchor[0]
        others = [row for row in rows if row != anchor]
        cosine = {row: dot(rows[anchor], rows[row]) for row in others}
        scores: dict[Hashable, float] = {row: cosine[row] / temperature for row in others}
        loss = temperature / base * term(scores, [row for row in others if g[row[0]] == g[i]], others)
        if class_temperatures is None:
            loss += beta * term(scores, [row for row in others if y[row[0]] == y[i]], others)
        else:
            scores = {row: cosine[row] / float(class_temperatures[y[i]]) for row in others}
            candidates = [row for row in others if g[row[0]] != g[i] or row[0] == i]
            loss += beta * term(scores, [row for row in candidates if y[row[0]] == y[i]], candidates)
        losses.append(loss)
    return sum(losses) / len(losses)


def subclass_queue_loop(inputs: AgainstQueue, *, temperature: float, beta: float, second: float | None) -> float:
    """Return the loss of `subclass_contrastive_queue`.

    Args:
        inputs: Inputs.
        temperature: Temperature of the subclass term.
        beta: Weight of the class term.
        second: Temperature of the class term, or None.
    """
    losses = []
    anchors = (inputs.query.tolist(), inputs.key.tolist(), inputs.labels.tolist(), inputs.subclasses.tolist())
    for q, k, y, g in zip(*anchors, strict=True):
        cosine: dict[Hashable, float] = {"own": dot(q, k)}
        cosine |= {j: dot(q, row) for j, row in enumerate(inputs.queue.tolist())}
        same_class = [j for j, other in enumerate(inputs.queue_labels.tolist()) if y == other != -1]
        same_subclass = [j for j, other in enumerate(inputs.queue_subclasses.tolist()) if g == other != -1]
        scores = {j: s / temperature for j, s in cosine.items()}
        loss = term(scores, ["own", *same_subclass], cosine)
        if second is None:
            loss += beta * term(scores, ["own", *same_class], cosine)
        else:
            scores = {j: s / second for j, s in cosine.items()}
            positives = ["own", *(j for j in same_class if j not in same_subclass)]
            loss += beta * term(scores, positives, [j for j in cosine if j not in same_subclass])
        losses.append(loss)
    return sum(losses) / len(losses)


def k_positive_loop(inputs: AgainstQueue, *, k: int, temperature: float, draws: list[Row]) -> float:
    """Return the loss of `k_positive_contrastive`."""
    losses = []
    anchors = (inputs.query.tolist(), inputs.key.tolist(), inputs.labels.tolist())
    for i, (q, own, y) in enumerate(zip(*anchors, strict=True)):
        scores: dict[Hashable, float] = {"own": dot(q, own) / temperature}
        scores |= {j: dot(q, row) / temperature for j, row in enumerate(inputs.queue.tolist())}
        matches = [j for j, other in enumerate(inputs.queue_labels.tolist()) if y == other != -1]
        if k and matches:
            matches = list({matches[int(draws[r][i] * len(matches))] for r in range(k)})
        losses.append(term(scores, ["own", *matches], scores))
    return sum(losses) / len(losses)

"""Contrastive losses of SBCL: supervised, with subclasses, in a batch or against a queue of keys.

Hou et al., Subclass-balancing Contrastive Learning for Long-tailed Recognition, ICCV 2023, arXiv 2306.15925 (SBCL).
There are two kinds:

* In a batch (`supervised_contrastive`, `subclass_contrastive`): every view of every image is an anchor and is compared
  with all other views of all images. With several processes this is the global batch: the anchors of a process are its
  own views, which are compared with the views of every process. All processes return the same value, the mean over all
  anchors; the gradients are scaled for DistributedDataParallel, see `longtail.distributed.gathering`.
* Against a queue (`k_positive_contrastive`, `subclass_contrastive_queue`): a query is compared with its own key and
  with the keys in a queue. The loss of a process is the mean over its own queries, and DistributedDataParallel averages
  the gradients over the global batch. Clone the queue first if it changes before the backward pass.

Each term is -mean_p log( exp(s_ip / T) / sum_a exp(s_ia / T) ) with s the cosine of two rows, p the positives and a the
candidates of anchor i. Everything is computed in float32 from log-softmax, also under autocast. An anchor without
positives contributes 0 and counts in the mean; the release returns NaN.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.distributed.gathering import average, gather, rank_and_size
from longtail.precision import in_float32, without_autocast


def supervised_contrastive(
    features: Tensor, labels: Tensor | None, *, temperature: float, base_temperature: float | None = None
) -> Tensor:
    """Return the supervised contrastive loss (Khosla et al., arXiv 2004.11362, eq. 2), a scalar.

    Args:
        features: Views of unit length, (B, V, D).
        labels: Class ids, (B,); None: only views of the same image are positives (instance discrimination).
        temperature: T of the softmax.
        base_temperature: The loss is multiplied by T / base_temperature; None: by 1.
    """
    batch = _Batch(features)
    positives = batch.other_views if labels is None else batch.same(labels) & batch.others
    term = _log_probability(batch.cosines / temperature, positives, batch.others)
    return average(-_factor(temperature, base_temperature) * term.mean())


def subclass_contrastive(
    features: Tensor,
    labels: Tensor,
    subclasses: Tensor,
    *,
    temperature: float,
    base_temperature: float | None,
    beta: float,
    class_temperatures: Tensor | None = None,
) -> Tensor:
    """Return the bi-granularity loss of SBCL (eq. 4): subclass term + beta * class term, a scalar.

    Subclass term: positives are the views of the same subclass, candidates are all other views. Class term: positives
    are the views of the same class but another subclass, and the other views of the same image; candidates are these
    and the views of other classes. Subclasses are compared only by their ids, so ids must differ between classes.

    As released, the subclass term is multiplied by temperature / base_temperature; the release uses 0.1 / 0.07.

    Args:
        features: Views of unit length, (B, V, D).
        labels: Class ids, (B,).
        subclasses: Subclass ids, (B,).
        temperature: T of the subclass term.
        base_temperature: The subclass term is multiplied by T / base_temperature; None: by 1.
        beta: Weight of the class term.
        class_temperatures: T of the class term for anchors of each class, (C,). None: the released variant in which
            the class term has T = temperature, all views of the class as positives and all other views as candidates.
    """
    batch = _Batch(features)
    same_class, same_subclass = batch.same(labels), batch.same(subclasses)
    logits = batch.cosines / temperature
    fine = _log_probability(logits, same_subclass & batch.others, batch.others)
    if class_temperatures is None:
        coarse = _log_probability(logits, same_class & batch.others, batch.others)
    else:
        scale = torch.as_tensor(class_temperatures, dtype=logits.dtype, device=logits.device)[labels]
        coarse = _log_probability(
            batch.cosines / scale.repeat_interleave(batch.views)[:, None],
            same_class & ~same_subclass | batch.other_views,
            ~same_subclass | batch.other_views,
        )
    return average(-(_factor(temperature, base_temperature) * fine + beta * coarse).mean())


def subclass_contrastive_queue(
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    labels: Tensor,
    subclasses: Tensor,
    queue_labels: Tensor,
    queue_subclasses: Tensor,
    *,
    temperature: float,
    beta: float,
    class_temperature: float | Tensor | None = None,
) -> Tensor:
    """Return the bi-granularity loss of SBCL (eq. 4) against a queue: subclass term + beta * class term, a scalar.

    The key of the same image is always a positive. Subclass term: positives are the keys of the same subclass,
    candidates are all keys. Class term: positives are the keys of the same class but another subclass, candidates are
    the keys of other subclasses.

    An id of -1 is unknown: an empty slot of the queue, or a subclass before the first clustering. It does not match any
    id, not even another -1 (in the release it does), so such a key is never a positive; it is a candidate, as released.

    Args:
        query: Outputs of the trained network, unit length, (B, D).
        key: Keys of the same images, unit length, (B, D).
        queue: Keys of earlier batches, unit length, (K, D).
        labels: Class ids, (B,).
        subclasses: Subclass ids, (B,).
        queue_labels: Class ids of the queue, (K,).
        queue_subclasses: Subclass ids of the queue, (K,).
        temperature: T of the subclass term.
        beta: Weight of the class term.
        class_temperature: T of the class term, one for all or one per class, (C,). None: the released variant in which
            the class term has T = temperature, all keys of the class as positives and all keys as candidates.
    """
    cosines = _cosines_to_keys(query, key, queue)
    same_class, same_subclass = _same_known(labels, queue_labels), _same_known(subclasses, queue_subclasses)
    fine = _log_probability(cosines / temperature, _with_own_key(same_subclass))
    if class_temperature is None:
        coarse = _log_probability(cosines / temperature, _with_own_key(same_class))
    else:
        positives, candidates = _with_own_key(same_class & ~same_subclass), _with_own_key(~same_subclass)
        scale = class_temperature[labels][:, None] if isinstance(class_temperature, Tensor) else class_temperature
        coarse = _log_probability(cosines / scale, positives, candidates)
    return -(fine + beta * coarse).mean()


def k_positive_contrastive(
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    labels: Tensor,
    queue_labels: Tensor,
    *,
    k: int,
    temperature: float,
    draws: Tensor | None = None,
) -> Tensor:
    """Return the k-positive contrastive loss (Kang et al., ICLR 2021) as SBCL's warm-up computes it, a scalar.

    Positives are the key of the same image and k keys of the same class, drawn from the queue with replacement; a key
    that is drawn twice counts once. Candidates are all keys. Keys with label -1 (empty slots) are never positives.

    Args:
        query: Outputs of the trained network, unit length, (B, D).
        key: Keys of the same images, unit length, (B, D).
        queue: Keys of earlier batches, unit length, (K, D).
        labels: Class ids, (B,).
        queue_labels: Class ids of the queue, (K,).
        k: Keys drawn for each anchor; 0: all keys of the class.
        temperature: T of the softmax.
        draws: Uniform numbers in [0, 1), (k, B): draw r of anchor i selects its match floor(draws[r, i] * matches).
            None: drawn from PyTorch's default generator of the device.
    """
    same_class = _same_known(labels, queue_labels)
    if k:
        draws = torch.rand(k, len(labels), device=labels.device) if draws is None else draws
        same_class = _drawn(same_class, draws)
    logits = _cosines_to_keys(query, key, queue) / temperature
    return -_log_probability(logits, _with_own_key(same_class)).mean()


class _Batch:
    """The anchors of this process and the views of all n processes, A = B * V anchors and R = n * A views.

    Attributes:
        views: Number of views V.
        cosines: Cosines of anchors and views, (A, R) float32.
        others: False for the pair of a view and itself, (A, R) bool.
        other_views: True for the other views of the anchor's image, (A, R) bool.
    """

    def __init__(self, features: Tensor) -> None:
        features = in_float32(features)
        self.views = features.shape[1]
        self.cosines = _products(features.flatten(0, 1), gather(features).flatten(0, 1))
        rank, _ = rank_and_size()
        anchors, rows = self.cosines.shape
        row = torch.arange(rows, device=features.device)
        anchor = row[rank * anchors : (rank + 1) * anchors, None]
        self.others = anchor != row
        self.other_views = (anchor // self.views == row // self.views) & self.others

    def same(self, ids: Tensor) -> Tensor:
        """Return where anchor and view have equal ids, (A, R) bool; ids (B,) of this process's images."""
        equal = ids[:, None] == gather(ids)
        return equal.repeat_interleave(self.views, 0).repeat_interleave(self.views, 1)


def _factor(temperature: float, base_temperature: float | None) -> float:
    return 1.0 if base_temperature is None else temperature / base_temperature


def _log_probability(logits: Tensor, positives: Tensor, candidates: Tensor | None = None) -> Tensor:
    """Return the mean log-probability of the positives of each anchor, 0 where there is none, (A,).

    Args:
        logits: Cosines over temperature, (A, R).
        positives: (A, R) bool, among the candidates.
        candidates: Entries of the softmax, (A, R) bool; None: all.
    """
    if candidates is not None:
        logits = logits.masked_fill(~candidates, torch.finfo(logits.dtype).min)  # finite: a row may have no candidate
    total = logits.log_softmax(1).masked_fill(~positives, 0.0).sum(1)
    return total / positives.sum(1).clamp(min=1)


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Return the inner products of the rows of two float32 matrices, in float32 also under autocast."""
    with without_autocast(left.device):
        return left @ right.T


def _cosines_to_keys(query: Tensor, key: Tensor, queue: Tensor) -> Tensor:
    """Return the cosines of each query with its own key (column 0) and with the queue, (B, 1 + K)."""
    query, key, queue = in_float32(query), in_float32(key), in_float32(queue)
    return torch.cat([(query * key).sum(1, keepdim=True), _products(query, queue)], dim=1)


def _same_known(ids: Tensor, queue_ids: Tensor) -> Tensor:
    """Return where the ids of anchors (B,) and queue (K,) are equal and not -1, (B, K) bool."""
    return (ids[:, None] == queue_ids) & (ids >= 0)[:, None]


def _with_own_key(mask: Tensor) -> Tensor:
    """Return a mask of the queue, (B, K), with a column of ones before it for the own key, (B, 1 + K)."""
    return F.pad(mask, (1, 0), value=True)


def _drawn(matches: Tensor, draws: Tensor) -> Tensor:
    """Return which of the matches (B, K) were drawn, (B, K) bool; draws (k, B) in [0, 1)."""
    number = matches.cumsum(1, dtype=torch.int32)  # the j-th match of a row is the first entry at which this is j
    wanted = (draws * number[:, -1]).int() + 1
    position = torch.searchsorted(number, wanted.T.contiguous())  # K where a row has no match
    width = matches.shape[1]
    drawn = torch.zeros(len(matches), width + 1, dtype=torch.bool, device=matches.device)
    return drawn.scatter_(1, position, True)[:, :width]

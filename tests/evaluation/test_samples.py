"""The record of the prediction for every sample."""

from pathlib import Path

import numpy as np
import torch

from longtail.evaluation import Evaluator, SampleRecorder, join_samples, read_samples, write_samples


def recorded(seed: int = 0, batches: int = 3) -> tuple[SampleRecorder, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a recorder of two experts of which the second is the ensemble, and what it saw."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 8 * batches, 5, generator=generator)
    labels = torch.randint(5, (8 * batches,), generator=generator)
    indices = torch.randperm(8 * batches, generator=generator)
    recorder = SampleRecorder((1,))
    for start in range(0, 8 * batches, 8):
        part = slice(start, start + 8)
        recorder.update(logits[:, part], labels[part], indices[part])
    return recorder, logits, labels, indices


def test_samples_are_those_of_a_plain_loop() -> None:
    recorder, logits, labels, indices = recorded()
    samples = recorder.samples()
    assert samples.index.tolist() == list(range(24))
    for position, index in enumerate(indices.tolist()):
        assert samples.label[index] == labels[position]
        for row, scores in enumerate([logits[0], logits[1], logits[1]]):
            probabilities = scores[position].softmax(0)
            assert samples.prediction[row, index] == scores[position].argmax()
            assert np.isclose(samples.confidence[row, index], probabilities.max())
            assert np.isclose(samples.label_probability[row, index], probabilities[labels[position]])


def test_samples_have_the_accuracy_of_the_evaluator() -> None:
    recorder, logits, labels, _ = recorded()
    evaluator = Evaluator(5, 2, [1] * 5, ensemble="last")
    evaluator.update(logits, labels)
    results, samples = evaluator.results(), recorder.samples()
    accuracy = (samples.prediction == samples.label).mean(axis=1)
    assert np.allclose(accuracy, [*(expert["top1"] for expert in results["experts"]), results["ensemble"]["top1"]])


def test_join_samples_keeps_each_once() -> None:
    samples = recorded()[0].samples()
    odd, even = (samples._replace(**{f: getattr(samples, f)[..., i::2] for f in samples._fields}) for i in (1, 0))
    for field, whole in zip(join_samples([odd, even, odd]), samples, strict=True):
        assert np.array_equal(field, whole)
    assert len(join_samples([]).index) == 0


def test_read_samples_returns_what_was_written_or_none(tmp_path: Path) -> None:
    samples = recorded()[0].samples()
    write_samples(tmp_path / "samples.npz", samples)
    read = read_samples(tmp_path / "samples.npz")
    assert read is not None
    assert all(np.array_equal(field, whole) for field, whole in zip(read, samples, strict=True))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "samples.npz").read_bytes()[:100])
    assert read_samples(tmp_path / "cut.npz") is None
    assert read_samples(tmp_path / "absent.npz") is None

"""Tests of the number of generated images per class and of the generation plan."""

from collections import Counter
from typing import Any

import pytest
import torch

from longtail.data.cam.images import OPERATIONS
from longtail.data.cam.plan import GenerationPlan, generated_per_class


def test_generated_per_class() -> None:
    counts = [5000, 2997, 1796, 50]
    made = generated_per_class(counts)
    assert made == [50, 2053, 3254, 5000]
    assert {own + new for own, new in zip(counts, made, strict=True)} == {5050}


def test_generated_per_class_threshold() -> None:
    counts = [1280, 150, 100, 99, 50, 5]
    assert generated_per_class(counts, 100) == [0, 0, 0, 100, 100, 100]
    assert generated_per_class(counts, 0) == [0] * 6
    assert generated_per_class([60, 30, 20], 50) == [0, 50, 50]
    assert generated_per_class([60, 30, 20], 40) == [0, 40, 40]
    assert generated_per_class([30, 28, 2], 31) == [2, 4, 30]


@pytest.fixture
def plan() -> Any:
    labels = torch.tensor([2, 0, 0, 1, 2, 0, 0, 2])
    return GenerationPlan(labels, [200, 0, 300], seed=3)


def test_generation_plan_labels_and_sources(plan: Any) -> None:
    made = [plan[k] for k in range(len(plan))]
    assert [image.label for image in made] == [0] * 200 + [2] * 300
    assert {image.source for image in made if image.label == 0} == {1, 2, 5, 6}
    assert {image.source for image in made if image.label == 2} == {0, 4, 7}


def test_generation_plan_distributions(plan: Any) -> None:
    made = [plan[k] for k in range(len(plan))]
    transforms = [image.transform for image in made]
    operations = Counter(transform.operation for transform in transforms)
    assert set(operations) == set(OPERATIONS)
    assert min(operations.values()) > 120  # 500 / 3 = 167, standard deviation 11
    assert (
        min(transform.angle for transform in transforms) < -40 and max(transform.angle for transform in transforms) > 39
    )
    assert all(-45 <= transform.angle < 45 for transform in transforms)
    scales = {transform.scale for transform in transforms}
    assert scales <= {percent / 100 for percent in range(80, 120)} and len(scales) == 40
    sources = Counter(image.source for image in made[:200])
    assert min(sources.values()) > 30


def test_generation_plan_image_depends_on_seed_and_k(plan: Any) -> None:
    forwards = [plan[k] for k in range(len(plan))]
    backwards = [plan[k] for k in reversed(range(len(plan)))][::-1]
    assert forwards == backwards
    assert plan[7].transform == GenerationPlan(torch.zeros(8, dtype=torch.int64), [10], seed=3)[7].transform
    assert plan[7] != GenerationPlan(torch.tensor([2, 0, 0, 1, 2, 0, 0, 2]), [200, 0, 300], seed=4)[7]


def test_generation_plan_view_generator(plan: Any) -> None:
    first = torch.rand(4, generator=plan.view_generator(0))
    assert torch.equal(first, torch.rand(4, generator=plan.view_generator(0)))
    assert not torch.equal(first, torch.rand(4, generator=plan.view_generator(1)))
    assert plan[0].transform.down not in torch.rand(6, dtype=torch.float64, generator=plan.view_generator(0)).tolist()

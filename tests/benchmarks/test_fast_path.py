"""The comparison of the fast path with plain versions of its parts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fast_path import OURS, WAYS, PlainOrder, main, table, tensor_by_tensor
from PIL import Image


def write_split(folder: Path, name: str, *, per_class: int) -> Path:
    """Write images of 32 x 32 in ten classes, and return their annotation file."""
    entries = []
    for number in range(10 * per_class):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}_{number}.png")
        size = {"im_height": 32, "im_width": 32}
        entries.append({"image_id": number, "fpath": f"{name}_{number}.png", "category_id": number % 10, **size})
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"annotations": entries, "num_classes": 10}))
    return path


@pytest.mark.slow
def test_every_way_trains_and_a_second_run_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, valid = write_split(tmp_path, "train", per_class=7), write_split(tmp_path, "valid", per_class=1)
    record = tmp_path / "record.jsonl"
    command = [str(train), str(valid), "--record", str(record), "--epochs", "1", "--seeds", "1", "--gpus", "cpu"]
    assert main(command) == 0
    lines = record.read_text().splitlines()
    assert [json.loads(line)["way"] for line in lines] == list(WAYS)
    assert main(command) == 0
    assert record.read_text().splitlines() == lines
    assert OURS in capsys.readouterr().out


def test_table_pairs_the_seeds() -> None:
    runs = {OURS: [0.50, 0.60, 0.70], "order": [0.52, 0.61, 0.73]}
    records = [
        {"way": way, "seed": seed, "top1": top1} for way, found in runs.items() for seed, top1 in enumerate(found)
    ]
    order = next(line for line in table(records) if line.startswith("order"))
    assert "+2.00 ± 0.58" in order  # differences 2, 1 and 3: their standard deviation is 1


def test_plain_order_is_a_permutation_that_changes_with_epoch_and_seed() -> None:
    first = PlainOrder(50, seed=1).indices(1)
    assert sorted(first.tolist()) == list(range(50))
    assert not torch.equal(first, PlainOrder(50, seed=1).indices(2))
    assert not torch.equal(first, PlainOrder(50, seed=2).indices(1))


def test_tensor_by_tensor_takes_the_steps_of_the_fused_optimizer() -> None:
    networks = [torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)]
    networks[1].load_state_dict(networks[0].state_dict())
    fused, plain = (
        torch.optim.SGD(
            [{"params": list(network.parameters()), "names": ["weight", "bias"], "lr_scale": 1.0}],
            lr=0.1,
            momentum=0.9,
            nesterov=True,
            weight_decay=0.01,
        )
        for network in networks
    )
    plain = tensor_by_tensor(plain)
    assert [len(group["params"]) for group in plain.param_groups] == [1, 1]
    for network, optimizer in zip(networks, (fused, plain), strict=True):
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.ones(2, 4)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(networks[0].weight, networks[1].weight)

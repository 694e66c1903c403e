"""Checkpoint files: written atomically, verified when they are read."""

import collections
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from longtail.checkpoint_file import VERSION, advice, checksum, read_checkpoint, save_checkpoint
from longtail.errors import UserError

CONTENT: dict[str, Any] = {
    "epoch": 3,
    "name": "a",
    "model": collections.OrderedDict(weight=torch.arange(6.0).reshape(2, 3), half=torch.ones(2, dtype=torch.bfloat16)),
    "random": [{"torch": torch.zeros(4, dtype=torch.uint8), "python": (3, (1, 2), None)}],
    "empty": torch.empty(0),
}


def flip(path: Path, data: bytes) -> None:
    """Flip a bit of the only occurrence of some bytes in a file."""
    content = bytearray(path.read_bytes())
    assert content.count(data) == 1
    content[content.index(data)] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, change: Any) -> None:
    """Change the content of a checkpoint under its old checksum; the zip file is intact."""
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def test_save_checkpoint_and_read_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pth", CONTENT)
    content = read_checkpoint(tmp_path / "a.pth")
    assert content.pop("version") == VERSION == 2
    assert content.keys() == CONTENT.keys()
    assert checksum(content) == checksum(CONTENT)
    assert torch.equal(content["model"]["weight"], CONTENT["model"]["weight"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.parametrize("linked", [True, False], ids=["hard_links", "no_hard_links"])
def test_save_checkpoint_keeps_the_older_file(tmp_path: Path, linked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not linked:

        def refuse(source: Path, target: Path) -> None:
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr("longtail.checkpoint_file.os.link", refuse)
    last, previous = tmp_path / "last.pth", tmp_path / "previous.pth"
    for epoch in (1, 2, 3):
        save_checkpoint(last, {"epoch": epoch}, keep=previous)
        assert read_checkpoint(last)["epoch"] == epoch
        assert previous.exists() == (epoch > 1)
    assert read_checkpoint(previous)["epoch"] == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_save_checkpoint_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pth"
    save_checkpoint(path, {"epoch": 1})

    def full(content: Any, file: Any) -> None:
        file.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("longtail.checkpoint_file.torch.save", full)
        with pytest.raises(UserError, match=r"^checkpoint .*last\.pth cannot be written: No space left on device$"):
            save_checkpoint(path, {"epoch": 2}, keep=tmp_path / "previous.pth")
    assert read_checkpoint(path)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pth"]


@pytest.mark.parametrize("cause", [OSError(28, "No space left on device"), None])
def test_save_checkpoint_reports_what_torch_wraps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: OSError | None
) -> None:
    def fail(content: Any, file: Any) -> None:
        raise RuntimeError("unexpected pos 64 vs 0\nat inline_container") from cause

    monkeypatch.setattr("longtail.checkpoint_file.torch.save", fail)
    reason = "No space left on device" if cause else "unexpected pos 64 vs 0 at inline_container"
    with pytest.raises(UserError, match=f"cannot be written: {reason}$"):
        save_checkpoint(tmp_path / "a.pth", {})


def test_save_checkpoint_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written: No such file"):
        save_checkpoint(tmp_path / "absent" / "last.pth", {"weights": torch.ones(3)})


def test_read_checkpoint_notices_a_flipped_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, {"model": torch.full((5,), 1.2345)})
    flip(path, torch.full((5,), 1.2345).numpy().tobytes())
    assert torch.load(path, weights_only=True)["model"][0] != 1.2345  # torch loads it
    with pytest.raises(UserError, match=r"a\.pth is damaged: the content of .*/data/0 has changed; delete it to start"):
        read_checkpoint(path)


@pytest.mark.parametrize("at", [0.0, 0.3, 0.7, 0.999])
def test_read_checkpoint_notices_a_missing_end(tmp_path: Path, at: float) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, CONTENT)
    data = path.read_bytes()
    path.write_bytes(data[: int(at * len(data))])
    with pytest.raises(UserError, match=r"a\.pth is damaged(: it is truncated| \(EOFError\)); delete it"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(epoch=4),
        lambda content: content["model"]["weight"].add_(1e-6),
        lambda content: content.pop("name"),
        lambda content: content.update(more=None),
        lambda content: content.pop("checksum"),
        lambda content: content.update(empty=torch.empty(0, 1)),
        lambda content: content.update(empty=torch.empty(0, dtype=torch.int64)),
    ],
)
def test_read_checkpoint_detects_changed_content_in_an_intact_zip_file(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, CONTENT)
    rewrite(path, change)
    with pytest.raises(UserError, match=r"a\.pth is damaged: its checksum does not match; delete it to start again$"):
        read_checkpoint(path)


def test_read_checkpoint_of_a_later_version_is_refused(tmp_path: Path) -> None:
    torch.save({"version": VERSION + 1}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"has format version 3; this software reads versions up to 2$"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_read_checkpoint_of_other_software_needs_no_checksum(tmp_path: Path, zipped: bool) -> None:
    torch.save({"version": 1, "epoch": 5}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert read_checkpoint(tmp_path / "a.pth") == {"version": 1, "epoch": 5}
    torch.save([torch.ones(2)], tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"holds a list, not a dictionary of weights$"):
        read_checkpoint(tmp_path / "a.pth")


def test_advice_names_an_intact_checkpoint_of_the_folder(tmp_path: Path) -> None:
    last, previous, epoch = (tmp_path / name for name in ("last.pth", "previous.pth", "epoch_2.pth"))
    for path in (last, previous, epoch):
        save_checkpoint(path, {"model": torch.full((5,), 1.2345)})
    damaged = torch.full((5,), 1.2345).numpy().tobytes()
    flip(last, damaged)
    with pytest.raises(UserError, match=rf"; {previous} is intact: train with --resume {previous}, or evaluate"):
        read_checkpoint(last)
    flip(previous, damaged)
    assert advice(last).startswith(f"; {epoch} is intact")
    epoch.unlink()
    assert advice(last) == "; delete it to start again"


def test_checksum_depends_on_values_types_and_shapes() -> None:
    values: list[Any] = [
        *(0, 0.0, False, None, "0", [0], {"0": 0}, {0: 0}, torch.tensor(0), torch.tensor(0.0), torch.tensor([0])),
        *([[0], []], [[], [0]], "a", torch.zeros(1, 2), torch.zeros(2, 1)),
    ]
    digests = [checksum({"value": value}) for value in values]
    assert len(set(digests)) == len(values)
    assert digests == [checksum({"value": value}) for value in values]


def test_checksum_reads_tensors_of_every_layout_and_type() -> None:
    images = torch.randn(2, 3, 4, 5)
    assert checksum({"a": images}) == checksum({"a": images.to(memory_format=torch.channels_last)})
    assert checksum({"a": images.transpose(0, 1)}) == checksum({"a": images.transpose(0, 1).contiguous()})
    for kind in (torch.bool, torch.bfloat16, torch.float16, torch.int64, torch.uint8):
        assert checksum({"a": torch.ones(3, dtype=kind)}) != checksum({"a": torch.zeros(3, dtype=kind)})


def test_read_checkpoint_gives_numpy_values_back(tmp_path: Path) -> None:
    content = {"top1": np.float64(0.5), "counts": np.arange(3)}
    save_checkpoint(tmp_path / "a.pth", content)
    read = read_checkpoint(tmp_path / "a.pth")
    assert read["top1"] == 0.5 and read["counts"].tolist() == [0, 1, 2]


def test_read_checkpoint_gives_plain_containers_back(tmp_path: Path) -> None:
    kinds = (dict, list, set, tuple, int, float, str, bool)
    content: dict[str, Any] = {f"of {kind.__name__}": collections.defaultdict(kind) for kind in kinds}
    content |= {"set": {1}, "frozen": frozenset([2]), "path": Path("a/b")}
    torch.save(content, tmp_path / "other.pth")
    assert read_checkpoint(tmp_path / "other.pth") == content


def test_read_checkpoint_says_how_to_convert_what_torch_cannot_read(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth", pickle_protocol=4)
    with pytest.raises(UserError, match=r"or has a pickle protocol, .*; convert it where it was made: torch\.save"):
        read_checkpoint(tmp_path / "other.pth")


def test_read_checkpoint_reads_a_filled_defaultdict_or_says_how_to_convert_it(tmp_path: Path) -> None:
    content = {"a": collections.defaultdict(list, a=[1])}
    torch.save(content, tmp_path / "other.pth")
    try:
        assert read_checkpoint(tmp_path / "other.pth") == content  # torch 2.6
    except UserError as error:
        assert "convert it where it was made: torch.save" in str(error)


def test_checkpoint_is_a_zip_file_without_compression(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pth", CONTENT)
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


WEIGHTS = {"head.weight": torch.arange(6.0).reshape(2, 3), "head.bias": torch.ones(2, dtype=torch.bfloat16)}


def test_read_checkpoint_reads_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(WEIGHTS, path, {"format": "pt", "architecture": "a network", "heads": "FC,cos"})
    content = read_checkpoint(path)
    assert content.pop("architecture") == "a network" and content.pop("heads") == ["FC", "cos"]
    assert content.keys() == WEIGHTS.keys()
    assert all(torch.equal(content[name], value) for name, value in WEIGHTS.items())
    save_file(WEIGHTS, path)
    assert read_checkpoint(path).keys() == WEIGHTS.keys()


def test_read_checkpoint_copies_safetensors(tmp_path: Path) -> None:
    """A file that is replaced later must not change the weights that were read from it."""
    path = tmp_path / "a.safetensors"
    save_file(WEIGHTS, path)
    content = read_checkpoint(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert torch.equal(content["head.weight"], WEIGHTS["head.weight"])


@pytest.mark.parametrize("length", [9, 60, -1])
def test_read_checkpoint_refuses_truncated_safetensors(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.safetensors"
    save_file(WEIGHTS, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match=r"^checkpoint .*a\.safetensors is damaged \(SafetensorError\)") as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)

#!/usr/bin/env python3
"""Run the converters with unusual folders, lists, files and options; count tracebacks, hangs and silent losses.

    python benchmarks/trust/converters.py --trials 350

A conversion that ends without an error must list only files that exist, and every image once or warn.
"""

import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from command_lines import CLASSES, as_nobody, command, fresh_copy, main_of, make_images
from common import Trials, options

NUMBERS = (
    *("0", "1", "-1", "3", "1e309", "nan", "-inf", "0.5", "1", "2", "100", "1.5", "x", "", "9" * 400),
    *("0x10", "²", "4294967296"),
)
PATHS = (
    *("d", "out", "", ".", "..", "a\0b", "x" * 300, "/proc/nothing", "/dev/null", "imgs", "fifo", "\ud800"),
    *("no/such", "-x"),
)
LABELS = ("0", "1", "2", "-1", "7", "1.0", "x", "", "9" * 5000, "0x1", "²", "1e3", "nan", "000", "999")
LISTS = ("train", "val", "test")


def main(arguments: list[str] | None = None) -> int:
    """Run the trials and print their counts."""
    chosen = options(__doc__, 350, arguments)
    draw = random.Random(chosen.seed)
    trials = Trials("converters", limit=60)  # the first ones load modules
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        template = Path(name) / "template"
        make_images(template / "imgs")
        convert: dict[str, Callable[[Path, random.Random], list[Any]]] = {
            "folder": folder_words,
            "lists": own_list_words,
            "ImageNet": partial(published_words, prefix="ImageNet_LT"),
            "Places": partial(published_words, prefix="Places_LT"),
            "iNat": coco_words,
            "path": path_words,
            "cifar": cifar_words,
            "tfrecords": tfrecord_words,
        }
        scripts = {"path": "replace_path", "cifar": "make_cifar_lt"}
        mains = {kind: main_of(f"tools/{scripts.get(kind, f'convert_from_{kind}')}.py") for kind in convert}
        kinds = (
            ["folder"] * 5 + ["lists"] * 3 + ["iNat"] * 3 + ["ImageNet", "Places", "path", "path", "cifar", "tfrecords"]
        )
        for number in range(chosen.trials):
            kind = kinds[number % len(kinds)]
            with fresh_copy(template, Path(name) / f"trial{number}") as work:
                os.mkfifo(work / "fifo")
                words = convert[kind](work, draw)
                trials.run(partial(convert_and_check, mains[kind], words, work, wrong), f"{kind} {words}"[:400])
    faults = trials.report() + len(wrong)
    print(f"  wrong without an error: {len(wrong)}")
    for text in wrong[:5]:
        print(f"    {text}")
    return 1 if faults else 0


def convert_and_check(main: Any, words: list[Any], work: Path, wrong: list[str]) -> None:
    """Run a converter, and check the annotation files that it wrote."""
    protected = any(not path.stat().st_mode & 0o777 for path in (work / "imgs").rglob("*") if path.exists())
    if protected:
        os.chmod(work, 0o777)
    with as_nobody(protected):
        printed = command(main, words, folder=work)
    for path in [*work.glob("out/*.json"), *work.glob("out.json")]:
        listed = [os.path.join(path.parent, entry["fpath"]) for entry in json.loads(path.read_text())["annotations"]]
        if len({os.path.realpath(file) for file in listed}) < len(listed) and "listed more than once" not in printed:
            wrong.append(f"{words}: an image is listed twice, and no line says so")
        if "--no-check" not in words and not all(os.path.isfile(file) for file in listed):
            wrong.append(f"{words}: a file that does not exist is listed")


def extra(draw: random.Random, names: dict[str, tuple[str, ...]]) -> list[str]:
    """Return some options with values that may be unusual."""
    chosen = draw.sample(list(names), min(len(names), draw.choice((0, 0, 1, 1, 2))))
    return [part for name in chosen for part in ((name, draw.choice(names[name])) if names[name] else (name,))]


def damage_images(work: Path, draw: random.Random) -> None:
    """Change a folder of images in one or two ways."""
    images = work / "imgs"
    one = images / draw.choice(CLASSES) / "0.png"
    changes: list[Callable[[], object]] = [
        lambda: one.write_bytes(b""),
        lambda: one.write_text("no image"),
        lambda: (images / "ant" / "link.png").symlink_to("nowhere"),
        lambda: (images / "ant" / "loop").symlink_to("."),
        lambda: link(images, {"ant/b": "../bee", "bee/a": "../ant"}),
        lambda: link(images, {"ant/up": "../..", "ant/up2": "../.."}),
        lambda: os.mkfifo(images / "bee" / "pipe.png"),
        lambda: os.chmod(images / "cat", 0o000),
        lambda: (images / "empty").mkdir(),
        lambda: (images / ".git").mkdir(),
        lambda: (images / "ant").rename(images / "train"),
        lambda: (images / "new\nline").mkdir(),
        lambda: os.rename(os.fsencode(images / "bee"), os.fsencode(images) + b"/\xff\xfe"),
        lambda: one.rename(one.with_name("y" * 240 + ".png")),
        lambda: one.rename(images / "0.png"),
        lambda: one.rename(one.with_suffix(".jpg")),
        lambda: one.rename(one.with_suffix(".txt")),
        lambda: shutil.copytree(images / "bee", images / "ant" / ("d/" * 40)),
        lambda: (images / "dup").symlink_to("ant"),
        lambda: (images / "cat" / "1.png").unlink(),
    ]
    for change in draw.sample(changes, draw.choice((0, 1, 1, 2))):
        try:
            change()
        except OSError:  # two changes that cannot be combined
            continue


def link(folder: Path, links: dict[str, str]) -> None:
    """Make symbolic links in a folder."""
    for name, target in links.items():
        (folder / name).symlink_to(target)


def folder_words(work: Path, draw: random.Random) -> list[Any]:
    """Return a command line of convert_from_folder.py."""
    damage_images(work, draw)
    paths = ("imgs", "imgs", "imgs", draw.choice(PATHS))
    names = {
        "--valid_path": ("imgs", "imgs/ant", *PATHS),
        **dict.fromkeys(("--valid_per_class", "--valid_fraction", "--test_per_class", "--test_fraction"), NUMBERS),
        **dict.fromkeys(("--keep", "--imbalance_factor", "--seed"), NUMBERS),
        "--force": (),
        "--frce": (),
    }
    output = "out" if draw.random() < 0.8 else draw.choice(PATHS)
    return ["--input_path", draw.choice(paths), "--output_path", output, *extra(draw, names)]


def lines_of(draw: random.Random, separators: tuple[str, ...]) -> bytes:
    """Return a list of images that contains unusual lines."""
    rows = [(f"{name}/{number}.png", str(label)) for label, name in enumerate(CLASSES) for number in range(4)]
    lines = []
    for path, label in rows:
        if draw.random() < 0.06:
            path = draw.choice(
                ("", "no.png", "../imgs/ant/0.png", "a\0b", "x" * 300, "ant", "é.png", "a b.png", "/dev/zero")
            )
        if draw.random() < 0.06:
            label = draw.choice(LABELS)
        lines.append(path + draw.choice(separators) + label)
    text = draw.choice(("\n", "\n", "\r\n", "\r")).join(lines)
    damaged = (
        text if draw.random() < 0.8 else text[: draw.randrange(len(text))] + draw.choice(("\0", "\n\n", ",,", "#", '"'))
    )
    return damaged.encode(draw.choice(("utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16")), "replace")


def own_list_words(work: Path, draw: random.Random) -> list[Any]:
    """Return a command line of convert_from_lists.py."""
    csv = draw.random() < 0.4
    name = "a.csv" if csv else "a.txt"
    head = b"path,label\n" if csv and draw.random() < 0.8 else b""
    (work / name).write_bytes(head + lines_of(draw, (",",) if csv else (" ", "\t", " ", "  ")))
    source = name if draw.random() < 0.9 else draw.choice((*PATHS, "fifo", "/dev/zero"))
    names = {"--valid": (name, *PATHS), "--test": PATHS, "--valid_fraction": NUMBERS, "--no-check": (), "--force": ()}
    images = draw.choice(("imgs", "imgs", "imgs", *PATHS))
    words = ("--train", source, "--image_path", images, "--output_path", draw.choice(("out", *PATHS[:4])))
    return [*words, *extra(draw, names)]


def published_words(work: Path, draw: random.Random, *, prefix: str) -> list[Any]:
    """Return a command line of the converter of ImageNet-LT or Places-LT."""
    (work / "lists").mkdir()
    for split in draw.sample(LISTS, draw.randrange(4)):
        path = work / "lists" / f"{prefix}_{split}.txt"
        if draw.random() < 0.1:
            draw.choice((os.mkfifo, os.mkdir))(path)
        else:
            path.write_bytes(lines_of(draw, (" ", " ", "\t", ",")))
    source = "lists" if draw.random() < 0.9 else draw.choice(PATHS)
    output = draw.choice(("out", "out", "out", *PATHS))
    words = ("--input_path", source, "--image_path", "imgs", "--output_path", output)
    return [*words, *extra(draw, {"--no-check": (), "--force": ()})]


def coco_words(work: Path, draw: random.Random) -> list[Any]:
    """Return a command line of convert_from_iNat.py."""
    odd: tuple[Any, ...] = (
        *(None, True, -1, 1.5, 10**30, "", "x", [], {}, "a\0b", "\ud800", "x" * 300, "../imgs/ant/0.png", float("nan")),
    )

    def maybe(value: Any) -> Any:
        return draw.choice(odd) if draw.random() < 0.03 else value

    files = [f"{name}/{number}.png" for name in CLASSES for number in range(4)]
    entries = [
        maybe({"id": maybe(k), "file_name": maybe(file), "height": maybe(32), "width": maybe(32)})
        for k, file in enumerate(files)
    ]
    labels = [maybe({"image_id": maybe(k), "category_id": maybe(k // 4 * 45 + 1)}) for k in range(len(files))]
    categories = [maybe({"id": maybe(k * 45 + 1), "name": maybe(name)}) for k, name in enumerate(CLASSES)]
    content = {"images": maybe(entries), "annotations": maybe(labels), "categories": maybe(categories)}
    text = json.dumps(content)
    if draw.random() < 0.2:
        position = draw.randrange(len(text))
        text = text[:position] + draw.choice(("[" * 3000, "9" * 5000, "\0", "", "}")) + text[position + 1 :]
    (work / "coco.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    source = "coco.json" if draw.random() < 0.9 else draw.choice((*PATHS, "/dev/zero"))
    output = draw.choice(("out.json", "out.json", "out.json", *PATHS))
    images = draw.choice(("imgs", "imgs", "imgs", *PATHS))
    words = ("--input_json_file", source, "--image_path", images, "--output_json_file", output)
    return [*words, *extra(draw, {"--no-check": (), "--force": ()})]


def path_words(work: Path, draw: random.Random) -> list[Any]:
    """Return a command line of replace_path.py."""
    entries: list[dict[str, Any]] = [{"fpath": f"/old/ant/{k}.png", "category_id": 0} for k in range(3)]
    odd: tuple[dict[str, Any], ...] = ({"fpath": ""}, {"fpath": 3}, {"fpath": "/other/x"}, {}, {"fpath": "/oldx"})
    if draw.random() < 0.3:
        entries[0] = draw.choice(odd)
    (work / "a.json").write_text(json.dumps({"num_classes": 1, "annotations": entries}))
    if draw.random() < 0.2:
        (work / "a.json").write_text(draw.choice(("", "[]", "{}", "[" * 3000, '{"annotations": 3}')))
    file = "a.json" if draw.random() < 0.9 else draw.choice(PATHS)
    new = draw.choice((str(work / "imgs"), "imgs", "", "a\0b", "x" * 300))
    words = ("--json_file", file, "-f", draw.choice(("/old", "/old/", "", "/", "old", "/none")), "-r", new)
    return [*words, *extra(draw, {"--no-check": ()})]


def cifar_words(work: Path, draw: random.Random) -> list[Any]:
    """Return a command line of make_cifar_lt.py without an archive, or with a wrong one."""
    if draw.random() < 0.5:
        (work / "d").mkdir()
        archive = work / "d" / "cifar-10-python.tar.gz"
        draw.choice((lambda: archive.write_bytes(b"x"), lambda: os.mkfifo(archive), archive.mkdir))()
    names = {"--seed": NUMBERS, "--kind": ("exp", "step", "x"), "--force": ()}
    names |= dict.fromkeys(("--input_path", "--output_path"), PATHS)
    factor = draw.choice(NUMBERS)
    words = ("--dataset", draw.choice(("cifar10", "cifar11")), "--imbalance_factor", factor, "--no-download")
    return [*words, *extra(draw, names)]


def tfrecord_words(work: Path, draw: random.Random) -> list[Any]:
    """Return a command line of convert_from_tfrecords.py."""
    folder = work / "d" / draw.choice(("cifar-10-data-im-0.01", "cifar-10-data-im-0.0", "cifar-10-data-im-x", "other"))
    folder.mkdir(parents=True)
    (folder / "train.tfrecords").write_bytes(b"no record")
    if draw.random() < 0.3:
        os.mkfifo(folder / "eval.tfrecords")
    return ["--input_path", draw.choice(("d", "d", *PATHS)), "--output_path", draw.choice(("out", *PATHS))]


if __name__ == "__main__":
    sys.exit(main())

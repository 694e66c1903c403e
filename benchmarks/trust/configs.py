#!/usr/bin/env python3
"""Set config keys to unusual values and damage config files; count tracebacks and hangs.

python benchmarks/trust/configs.py --trials 3500
"""

import random
import sys
import tempfile
from functools import partial
from pathlib import Path

from common import Trials, options

from longtail.config import KEYS, load_config
from longtail.distributed import Place, find_place
from longtail.stages.checks import check_training

VALUES = (
    *("", "0", "-1", "1e309", "-inf", "nan", "1e30", "9" * 400, "0x10", "1_000", "12:30", "2001-99-99", "None", "True"),
    *("[]", "[0, 0]", "[1]", "['a']", "{}", "{[]:1}", "(1, inf)", "[2, 1]", "[[1]]", "a\0b", "\ud800", "x" * 300, "~"),
    *("../x", "/dev/zero", "$HOME", "!!int abc", "&a [*a]", "[" * 2000, "'", '"', "\n", "é", "1.7e308", "2147483648"),
)
SOURCE = "digits_lt,ncl"


def main() -> int:
    """Run the trials and print their counts."""
    chosen = options(__doc__, 3500)
    draw = random.Random(chosen.seed)
    place = find_place("cpu")
    values, files = Trials("config values"), Trials("config files")
    names = list(KEYS)
    for trial in range(chosen.trials * 6 // 7):
        name, value = names[trial % len(names)], draw.choice(VALUES)
        values.run(partial(check, [name, value], place), f"{name} {value}")
    sources = sorted((Path(__file__).resolve().parents[2] / "configs").rglob("*.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        for _ in range(chosen.trials // 7):
            content = bytearray(draw.choice(sources).read_bytes())
            for _ in range(draw.randrange(1, 6)):
                position = draw.randrange(len(content))
                content[position : position + draw.randrange(3)] = draw.choice(
                    (
                        b"\0",
                        b"\xff",
                        b"[",
                        b"{",
                        b"&a ",
                        b"*a",
                        b"!!int ",
                        b"\t",
                        b": ",
                        b"- ",
                        b"\xef\xbb\xbf",
                        b"9" * 50,
                    )
                )
            path.write_bytes(content)
            files.run(lambda: load_config(str(path), []), bytes(content[:100]).decode("latin-1"))
    return 1 if values.report() + files.report() else 0


def check(words: list[str], place: Place) -> None:
    """Load a config with a key set, and run the checks that precede reading data."""
    check_training(load_config(SOURCE, words), place)


if __name__ == "__main__":
    sys.exit(main())

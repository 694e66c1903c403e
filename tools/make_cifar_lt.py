#!/usr/bin/env python3
"""Write long-tailed CIFAR by the published rule: images and annotation files.

    python tools/make_cifar_lt.py --dataset cifar10 --imbalance_factor 100
    python tools/make_cifar_lt.py --dataset cifar100 --imbalance_factor 20 --kind step --seed 1
    python tools/make_cifar_lt.py --dataset cifar10 --imbalance_factor 100 --jpeg 75

Downloads the official archive to dataset/cifar if needed, and writes dataset/cifar10_lt/cifar10/ (PNG),
cifar10_im100_train.json and cifar10_valid.json, where the configs expect them. With --jpeg 75 the names are
cifar10_q75/ (JPEG), cifar10_im100_q75_train.json and cifar10_q75_valid.json. The annotation files are written last: if
they are missing, run the command again.
"""

import sys

from longtail.cli.program import Parser, run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--dataset", choices=("cifar10", "cifar100"), required=True)
    parser.add_argument("--imbalance_factor", metavar="F", type=float, required=True, help="largest / smallest class")
    parser.add_argument("--kind", choices=("exp", "step"), default="exp", help="shape of the tail; default: exp")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of images; default: 0, as published")
    parser.add_argument("--jpeg", metavar="QUALITY", type=int, help="JPEG of this quality instead of lossless PNG")
    parser.add_argument("--input_path", default="dataset/cifar", help="folder of the archive; default: dataset/cifar")
    parser.add_argument("--output_path", help="default: dataset/cifar10_lt or dataset/cifar100_lt")
    parser.add_argument("--no-download", action="store_true", help="do not download a missing archive")
    parser.add_argument("--force", action="store_true", help="replace annotation files and images")
    options = parser.parse(arguments)

    def program() -> None:
        from longtail.data.convert.cifar import make_cifar_lt
        from longtail.runs.console import log_to_terminal

        log_to_terminal()
        make_cifar_lt(
            options.dataset,
            input_path=options.input_path,
            output_path=options.output_path or f"dataset/{options.dataset}_lt",
            imbalance_factor=options.imbalance_factor,
            kind=options.kind,
            seed=options.seed,
            jpeg=options.jpeg,
            download=not options.no_download,
            force=options.force,
        )

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())

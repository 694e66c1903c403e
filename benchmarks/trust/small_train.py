#!/usr/bin/env python3
"""`longtail train` with the small network of the measurements, as a script for torchrun."""

import sys

from small import no_figures

from longtail.cli import train

if __name__ == "__main__":
    with no_figures():
        sys.exit(train.main())

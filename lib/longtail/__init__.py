"""Train and judge image classifiers on long-tailed data."""

__version__ = "0.1.0"

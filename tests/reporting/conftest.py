"""Fixtures of these tests."""

from tests.helpers.training_fixtures import finished_run, no_figures, tiny_cfg

__all__ = ["finished_run", "no_figures", "tiny_cfg"]

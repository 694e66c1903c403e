"""Fixtures of these tests."""

from tests.helpers.training_fixtures import no_figures, tiny_cfg

__all__ = ["no_figures", "tiny_cfg"]

"""Fixtures of these tests."""

from tests.helpers.training_fixtures import no_figures, photos

__all__ = ["no_figures", "photos"]

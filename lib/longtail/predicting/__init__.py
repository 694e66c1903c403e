"""Predictions of a trained network for new images, and its export to other formats."""

"""Comparison of finished runs, and sweeps over seeds and keys."""

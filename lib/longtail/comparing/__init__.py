"""Comparison of finished runs, and sweeps over seeds and keys that end in one."""

"""Runs: directory, resuming, inputs, environment, results, loggers and console."""

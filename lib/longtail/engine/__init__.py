"""The engine: one training loop, evaluation, checkpoints, run directories."""

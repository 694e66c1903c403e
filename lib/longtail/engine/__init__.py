"""The engine: one training loop for all methods, inference, and optimization."""

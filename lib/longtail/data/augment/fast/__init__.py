"""Augmentation of single images with OpenCV: the policies of `longtail.data.augment`, for worker processes.

A policy keeps its random numbers; only the arithmetic differs. `operations` says by how much.
"""

from longtail.data.augment.fast.policy import FastPolicy

__all__ = ["FastPolicy"]

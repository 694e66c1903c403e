"""Figures of trainings, evaluations and data sets; matplotlib is loaded when the first one is drawn."""

"""Stages: what one entry of a recipe, or one command, does."""

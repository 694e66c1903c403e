"""Inspecting data sets: verification of annotation files and images, and a sheet of augmented samples."""

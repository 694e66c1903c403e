"""Converters from downloaded data sets to annotation files: one small file per source."""

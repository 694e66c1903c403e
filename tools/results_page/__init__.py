"""The gallery: every trick of Bag of Tricks with its configuration, the published error and our own."""

from longtail.gallery.page import same_but_for_results, write_page
from longtail.gallery.runs import Outcome, read_runs
from longtail.gallery.source import Gallery, read_gallery

__all__ = ["Gallery", "Outcome", "read_gallery", "read_runs", "same_but_for_results", "write_page"]

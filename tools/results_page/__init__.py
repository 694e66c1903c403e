"""The results page: published numbers next to our records."""

from tools.results_page.page import results_page, top_table
from tools.results_page.published import Published, read_published
from tools.results_page.records import Record, kept_environment, make_record, read_records
from tools.results_page.released import released_record
from tools.results_page.run_records import records_of
from tools.results_page.trainings import Training, missing_trainings

__all__ = [
    "Published",
    "Record",
    "Training",
    "kept_environment",
    "make_record",
    "missing_trainings",
    "read_published",
    "read_records",
    "records_of",
    "released_record",
    "results_page",
    "top_table",
]

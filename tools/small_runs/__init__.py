"""Short trainings of every method on a small data set: rows, records and the table of the leaderboard."""

from tools.small_runs.acceptance import Expected, check_again, expectations, read_expectations, write_expectations
from tools.small_runs.page import leaderboard_page
from tools.small_runs.records import SmallRecord, read_small_records, train_row, write_small_record
from tools.small_runs.rows import ROWS_FILE, Row, Rows, read_rows

__all__ = [
    "ROWS_FILE",
    "Expected",
    "Row",
    "Rows",
    "SmallRecord",
    "check_again",
    "expectations",
    "leaderboard_page",
    "read_expectations",
    "read_rows",
    "read_small_records",
    "train_row",
    "write_expectations",
    "write_small_record",
]

"""Reports of finished runs: one HTML page that works offline, and redrawing of figures."""

from longtail.reporting.page import write_page
from longtail.reporting.record import RunRecord, read_run
from longtail.reporting.redraw import redraw_figures
from longtail.reporting.sections import describe_run

__all__ = ["RunRecord", "describe_run", "read_run", "redraw_figures", "write_page"]

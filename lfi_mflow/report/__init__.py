"""The HTML report."""

from lfi_mflow.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]

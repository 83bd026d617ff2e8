"""The report: one HTML file that needs no network, no server and no second file.

It computes nothing. Statistics come from :mod:`salzarr.statistics`, colors and pictures from
:mod:`salzarr.plot`; here they become data beside a template, and a small script draws the page from them.
Names and paths travel as JSON and are shown as text, so that no name can become markup.
"""

from salzarr.report.page import render, write_report
from salzarr.report.page_inputs import Page

__all__ = ["Page", "render", "write_report"]

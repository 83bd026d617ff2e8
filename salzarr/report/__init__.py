"""The report: one HTML file that needs no network, no server and no second file.

It computes nothing. Statistics come from :mod:`salzarr.statistics`, colours and pictures from
:mod:`salzarr.plot`; here they become data beside a template, and a small script draws the page from them.
Names and paths travel as JSON and are shown as text, so that no name can become markup.
"""

from salzarr.report.contents import Page
from salzarr.report.page import render, write_report

__all__ = ["Page", "render", "write_report"]

"""Write the README's table of metrics from the registry.

    python scripts/fill_readme.py

A test fails when the README's table is not that of the registry.
"""

import re
from pathlib import Path

from salzarr.metrics import describe

README = Path(__file__).parents[1] / "README.md"
MARKS = re.compile(r"(<!-- metrics -->\n).*?(<!-- /metrics -->)", re.DOTALL)


def metrics_table() -> str:
    """Give the registry as a Markdown table."""
    lines = ["| metric | definition, and its source | more is | cost |", "| --- | --- | --- | --- |"]
    for metric in describe():
        more = "alike" if metric["kind"] == "similarity" else "different"
        given = " ".join(f"`:{k}={'auto' if v is None else v}`" for k, v in metric["parameters"].items())
        definition = metric["definition"].replace("|", "\\|")
        unit = f" ({metric['unit']})" if metric["unit"] else ""
        name = f"**`{metric['name']}`** {given}".strip()
        row = (name, f"{definition} <br> *{metric['reference']}*", more + unit, metric["cost"])
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    README.write_text(MARKS.sub(lambda mark: f"{mark[1]}{metrics_table()}{mark[2]}", README.read_text()))

"""Write the pages of docs/reference from the code.

Example: python -m experiments.reference
"""

from pathlib import Path

from pocketrank.runtime.files import write_bytes

from experiments.reference.command_line import command_line_page
from experiments.reference.pages import budget_page, bundle_page, devices_page, metrics_page, recipe_page, report_page
from experiments.reference.python import python_page

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
PAGES = {
    "recipe.md": recipe_page,
    "budget.md": budget_page,
    "metrics.md": metrics_page,
    "bundle.md": bundle_page,
    "report.md": report_page,
    "command-line.md": command_line_page,
    "python.md": python_page,
    "devices.md": devices_page,
}


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        write_bytes(FOLDER / name, page().encode("utf-8"))
        print(FOLDER / name)


if __name__ == "__main__":
    main()

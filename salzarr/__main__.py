"""Run the command line: ``python -m salzarr``."""

from salzarr.cli import main

if __name__ == "__main__":
    main()

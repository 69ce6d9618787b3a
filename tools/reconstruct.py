"""Runs `tfrecon reconstruct` from a checkout."""

import sys

from tfrecon.cli.main import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("reconstruct", sys.argv[1:]))

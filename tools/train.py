"""Runs `tfrecon train` from a checkout."""

import sys

from tfrecon.cli.main import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("train", sys.argv[1:]))

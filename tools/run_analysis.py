"""Scores a folder of images under SSDiffReconV2's convention.

SSDiffReconV2's script of this name and its flags; docs/formats.md says what is done otherwise.

python tools/run_analysis.py --recon results/ixi_samples/test --gt data/ixi_test_reference
"""

import sys

from tfrecon.cli.v2_tools import run_analysis

if __name__ == "__main__":
    sys.exit(run_analysis(sys.argv[1:]))

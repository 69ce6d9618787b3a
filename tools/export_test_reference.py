"""Writes the zero-filled images of the test records as im_NUMBERsamples.npy.

SSDiffReconV2's script of this name and its flags; docs/formats.md says what is done otherwise.

python tools/export_test_reference.py --out data/ixi_test_reference --max 10
"""

import sys

from tfrecon.cli.v2_tools import export_test_reference

if __name__ == "__main__":
    sys.exit(export_test_reference(sys.argv[1:]))

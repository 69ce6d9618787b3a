"""Draws images of a folder side by side.

SSDiffReconV2's script of this name and its flags; docs/formats.md says what is done otherwise.

python tools/plot_reference_images.py data/ixi_test_reference --indices 0,100 --rows 2 --save images.png
"""

import sys

from tfrecon.cli.v2_tools import plot_reference_images

if __name__ == "__main__":
    sys.exit(plot_reference_images(sys.argv[1:]))

r"""Converts numbered images (im_NUMBERsamples.npy) to records of a training and a test split.

SSDiffReconV2's script of this name and its flags; docs/formats.md says what is done otherwise.

python tools/convert_to_tfr_with_split.py --input results/test --output records --slices_per_volume=30 \
    --undersample=gaussian2d --acceleration=4
"""

import sys

from tfrecon.cli.v2_tools import convert_to_tfr_with_split

if __name__ == "__main__":
    sys.exit(convert_to_tfr_with_split(sys.argv[1:]))

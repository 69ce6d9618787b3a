"""Reconstructs with an improved DDPM.

ddpm4MRI's script of this name and its flags; docs/ddpm.md says what is done otherwise.

python tools/image_sample.py --data_dir file.h5 --model_path runs/ddpm --sample_path images --us_rate 8 --acl_frac 0.04
"""

import sys

from tfrecon.cli.ddpm_tools import image_sample

if __name__ == "__main__":
    sys.exit(image_sample(sys.argv[1:]))

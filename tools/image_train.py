r"""Trains an improved DDPM of complex images.

ddpm4MRI's script of this name and its flags; docs/ddpm.md says what is done otherwise.

python tools/image_train.py --data_dir data/fastmri --log_dir runs/ddpm --diffusion_steps 1000 \
    --noise_schedule cosine --schedule_sampler uniform
"""

import pathlib
import sys

from tfrecon.cli.ddpm_tools import image_train

if __name__ == "__main__":
    sys.exit(image_train(sys.argv[1:], pathlib.Path(__file__).resolve().parents[1] / "configs" / "ddpm"))

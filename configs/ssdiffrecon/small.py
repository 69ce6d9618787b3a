r"""SSDiffRecon small enough for two CPU cores; the shipped `weights/ssdiffrecon_small` were trained by it.

    python tools/prepare_real_data.py --input=IMAGES --output=data/views --coils=1 --view=128 --views_per_slice=20
    tfrecon train --config=configs/ssdiffrecon/small.py --workdir=runs/small

    python tools/prepare_real_data.py --input=IMAGES --output=data/views8 --coils=8 --view=128 --views_per_slice=5 \
        --calibration=12
    tfrecon train --config=configs/ssdiffrecon/small.py:multi_coil --workdir=runs/small_multi_coil

Trains self-supervised on simulated acquisitions of views of 128 x 128 pixels, R = 4 and 8 mixed, lines and
points; the network takes any size. Two CPU cores take 33 minutes with one coil (validation 35.35 dB), and 27 more
with eight (35.78 dB with the μ of training). Scores are on the card of the weights.
"""

from ml_collections import ConfigDict

from tfrecon.methods.ssdiffrecon.presets import small
from tfrecon.train.config import default_config


def get_config(coils: str = "single_coil") -> ConfigDict:
    """The experiment; `coils` is "single_coil", or "multi_coil", which goes on from the single-coil weights."""
    config = default_config("ssdiffrecon", small())
    several = coils == "multi_coil"
    if several:
        config.train.start_from = "runs/small"
        config.model.begin = "cg_sense"
        config.model.consistency = "proximal"
        config.model.consistency_weight = 0.05
        config.model.train_consistency = False
        config.model.consistency_iterations = 5
        config.reconstruct.consistency_weight = 0.01  # chosen on validation; docs/ssdiffrecon.md says why
    config.data.train = "data/views8/train" if several else "data/views/train"
    config.data.validation = "data/full8/validation" if several else "data/full/validation"
    config.data.batch_size = 4 if several else 8
    lines = {4.0: 12, 8.0: 12} if several else {4.0: 10, 8.0: 6}
    config.data.undersample = [
        {"kind": kind, "acceleration": rate, "acs_lines": acs}
        for kind in ("gaussian1d", "gaussian2d")
        for rate, acs in lines.items()
    ]
    config.objective.partition.ratio = 0.2
    config.optimizer.learning_rate = 1e-2 if several else 3e-2
    config.optimizer.beta_2 = 0.99
    config.optimizer.warmup_steps = 100
    config.optimizer.schedule = "cosine"
    config.train.steps = 2000 if several else 4500
    config.train.precision = "mixed_bfloat16"
    config.train.ema_decay = 0.998
    config.train.validate_every = 500
    config.train.checkpoint_every = 500
    return config

"""With real networks an example's loss and image do not depend on its batch; at several sizes."""

import numpy as np
import pytest
from ssdiffrecon_cases import make_batch, one_of, tiny

from tfrecon.methods.base import get_method
from tfrecon.methods.ssdiffrecon.objective import HoldOut, SSDiffReconObjective
from tfrecon.methods.ssdiffrecon.options import SSDiffReconOptions
from tfrecon.methods.ssdiffrecon.problem import make_problem
from tfrecon.methods.ssdiffrecon.sampling import make_chain, sample
from tfrecon.util import rng

OBJECTIVES = {
    "ssdu": SSDiffReconObjective("ssdu"),
    "k_weighted": SSDiffReconObjective("k_weighted", partition=HoldOut(ratio=0.3, selection="gaussian")),
    "multi_mask": SSDiffReconObjective("multi_mask", partition=HoldOut(ratio=0.2, splits=3)),
    "robust": SSDiffReconObjective("robust", distance="l2"),
    "supervised": SSDiffReconObjective("supervised"),
}


SMALL, LARGER = ((15, 17), 3), ((32, 48), 1)
PUBLISHED = [
    pytest.param(*case, marks=pytest.mark.slow) for case in (((256, 256), 1), ((256, 320), 5), ((288, 384), 4))
]
CASES = [*(pytest.param(loss, *SMALL) for loss in OBJECTIVES), pytest.param("ssdu", *LARGER)]
CASES += [pytest.param("ssdu", *case.values, marks=case.marks) for case in PUBLISHED]


@pytest.mark.parametrize("loss, shape, coils", CASES)
def test_losses(loss, shape, coils):
    batch, seeds = make_batch(4, coils, shape, noise=0.1), rng.make_seeds(0, 0, 4)
    model = tiny(zero_init=False, dropout=0.1, consistency="proximal" if loss == "robust" else "hard")
    method = get_method("ssdiffrecon", model, OBJECTIVES[loss])
    models = method.build(0)
    losses, logs = method.loss(models, batch, seeds, True)
    assert np.isfinite(losses).all() and len(set(losses.numpy())) == 4
    alone, own = method.loss(models, one_of(batch, 2), seeds[2:3], True)
    np.testing.assert_allclose(alone, losses[2:3], rtol=2e-5)
    np.testing.assert_array_equal(own["t"], logs["t"][2:3])


@pytest.mark.parametrize("shape, coils", [SMALL, LARGER, *PUBLISHED])
def test_images(shape, coils):
    """Given the same seeds; `reconstruct` itself numbers its items."""
    batch, options = make_batch(4, coils, shape), SSDiffReconOptions(steps=3)
    method = get_method("ssdiffrecon", tiny(zero_init=False))
    models, chain, seeds = method.build(0), make_chain(method.objective.chain, options), rng.make_seeds(0, 0, 4)

    def run(batch, seeds):
        problem = make_problem(batch["kspace"], batch["mask"], batch["maps"])
        return sample(models, method.model, problem, chain, seeds, options).numpy()

    together = run(batch, seeds)
    np.testing.assert_allclose(run(one_of(batch, 2), seeds[2:3]), together[2:3], atol=2e-5)

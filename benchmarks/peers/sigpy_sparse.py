"""sigpy's `L1WaveletRecon` and `TotalVariationRecon` at every weight of a grid."""

import numpy as np
import sigpy.mri as mr


def setup(arrays):
    kspace, maps = arrays["kspace"], arrays["maps"]
    weights = np.broadcast_to(arrays["mask"], kspace.shape)
    app = getattr(mr.app, str(arrays["app"]))

    def reconstruct():
        images = [
            app(kspace, maps, float(lamda), weights=weights, max_iter=int(arrays["iterations"]), show_pbar=False).run()
            for lamda in arrays["grid"]
        ]
        return np.stack(images)

    return reconstruct

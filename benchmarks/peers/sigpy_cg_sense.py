"""sigpy's CG-SENSE: `sigpy.mri.app.SenseRecon`."""

import sigpy.mri as mr


def setup(arrays):
    kspace, maps, mask = arrays["kspace"], arrays["maps"], arrays["mask"]
    lamda, iterations = float(arrays["lamda"]), int(arrays["iterations"])

    def reconstruct():
        return mr.app.SenseRecon(
            kspace, maps, lamda=lamda, weights=mask, max_iter=iterations, tol=0, show_pbar=False
        ).run()

    return reconstruct

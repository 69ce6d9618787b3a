"""sigpy's ESPIRiT: `sigpy.mri.app.EspiritCalib`, its own defaults but for the options given."""

import sigpy.mri as mr


def setup(arrays):
    kspace, width, kernel, crop = arrays["kspace"], int(arrays["width"]), int(arrays["kernel"]), float(arrays["crop"])

    def calibrate():
        return mr.app.EspiritCalib(kspace, calib_width=width, kernel_width=kernel, crop=crop, show_pbar=False).run()

    return calibrate

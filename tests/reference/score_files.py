"""Small files like those that the tools which measure models write."""

import json

METHODS = {"zero_filled": (28.0, 27.0), "tv": (33.0, 30.0), "l1_wavelet": (32.0, 31.0)}
MASKS = ("gaussian1d:4:20", "gaussian2d:8:10")


def comparison_line(method, psnr, mask=MASKS[0], calls=None, slices=None, **more):
    """A line of the table of methods; `slices` of 1 and -1 dB about the mean, unless given."""
    slices = [psnr - 1, psnr + 1] if slices is None else slices
    scores = {"psnr": psnr, "ssim": 0.9, "nmse": 0.0123, "seconds": 0.1234, "slices": slices}
    return {"mask": mask, "acceleration": 4.0, "method": method, **scores, "options": {}, "calls": calls, **more}


def classical_lines():
    return [
        comparison_line(method, psnr, mask)
        for method, values in METHODS.items()
        for mask, psnr in zip(MASKS, values, strict=True)
    ]


def prior_lines(method="prior", ahead=(1.5, 2.0), calls=200):
    """Ahead of the best classical method by so much in the mean, by 0.2 dB less and more in the two slices."""
    best = (33.0, 31.0)
    return [
        comparison_line(method, base + gain, mask, calls, [base + gain - 1.2, base + gain + 1.2])
        for mask, base, gain in zip(MASKS, best, ahead, strict=True)
    ]


def calibration(scale=None, std=0.02, warnings=()):
    """Of `calibration.json`."""
    return {
        "facts": {"images": 10, "pixels": 1000},
        "warnings": list(warnings),
        "scale": scale or {"factor": 1.0, "fitted_on": {}},
        "levels": [0.5, 0.9],
        "observed": [0.4567, 0.8912],
        "level": 0.9,
        "per_image": {"mean": 0.9, "std": std, "low": 0.88, "high": 0.92, "count": 10},
        "sharpness": 0.123,
        "quantiles": None,
    }


def likelihoods(bits=(2.0, 3.0), round_trip=0.001):
    """Of tools/likelihood.py."""
    images = [{"record_id": f"v/{k}", "bits": b, "calls": 100, "round_trip": round_trip} for k, b in enumerate(bits)]
    return {"model": "weights/prior", "input": "data", "images": images}


def steps(slices=2):
    """Of tools/steps_and_quality.py; the last run has not come to its end."""

    def run(curve, nfe, psnr, count=slices):
        one = {"psnr": psnr, "ssim": 0.9, "nmse": 0.01, "acceleration": 4.0, "seconds": 2.0, "compiled": False}
        return {"mask": MASKS[0], "curve": curve, "nfe": nfe, "slices": {f"v/{k}": one for k in range(count)}}

    return {"about": {"seed": 0}, "runs": [run("dds", 20, 34.0), run("pc", 2000, 34.1), run("pc", 4000, 40.0, 1)]}


def write(path, content):
    path.write_text(json.dumps(content))
    return path

import json
import subprocess
import sys
import time

import pytest

from tfrecon.methods.base import untrained_names
from tfrecon.serve.demo_methods import SHOWN
from tfrecon.serve.shipped import shipped_models


@pytest.mark.slow
def test_demo_on_the_bundled_head_in_two_minutes(tmp_path):
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tfrecon", "demo"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert time.perf_counter() - start < 120
    out = tmp_path / "demo_output"
    rows = json.loads((out / "metrics.json").read_text())["results"]
    shown = [name for name in SHOWN if name in shipped_models(8)]
    assert {row["method"] for row in rows} == {*untrained_names(), *shown}
    for name in SHOWN:
        assert (f"no {name}" in done.stderr) is (name not in shown)
    scores = {(row["case"], row["method"]): row for row in rows}
    for case in {row["case"] for row in rows}:
        baseline = scores[case, "zero_filled"]["psnr"]
        assert all(scores[case, name]["psnr"] > baseline + 2 for name in untrained_names() if name != "zero_filled")
    assert scores["head_equispaced_R4", "cg_sense"]["acceleration"] == pytest.approx(4, abs=0.05)
    for name in ("report.html", "head_equispaced_R4.png", "metrics.json"):
        assert (out / name).stat().st_size > 1000 and name in done.stdout
    assert "PSNR" in done.stdout and "Traceback" not in done.stderr

"""`python -m benchmarks`: runs every benchmark of this folder and writes benchmarks/results.json."""

import importlib
import json
import pathlib
import sys

from tfrecon.util.files import write_json

HERE = pathlib.Path(__file__).parent
BENCHMARKS = ("cg_sense", "espirit", "records", "sparse_quality", "train_step", "ssdiffrecon", "score_sampler")


def main(names):
    rows = []
    for name in names or BENCHMARKS:
        for row in importlib.import_module(f"benchmarks.{name}").run():
            rows.append({"benchmark": name, **row})
            print(json.dumps(rows[-1]), flush=True)
    target = HERE / "results.json"
    if not names:
        write_json(target, rows)
        print(f"wrote {target.relative_to(pathlib.Path.cwd())}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""`python -m benchmarks [NAME …]`: runs benchmarks of this folder, and puts what they measure into results.json."""

import importlib
import json
import pathlib
import sys

from tfrecon.util.files import write_json

TARGET = pathlib.Path(__file__).parent / "results.json"
BENCHMARKS = (
    "cg_sense",
    "espirit",
    "records",
    "sparse_quality",
    "train_step",
    "buckets",
    "ssdiffrecon",
    "score_sampler",
)


def keep_rows(name, rows):
    """Puts the rows of one benchmark in the place of its earlier ones; those of others stay."""
    others = [row for row in json.loads(TARGET.read_text()) if row["benchmark"] != name] if TARGET.exists() else []
    kept = sorted([*others, *rows], key=lambda row: BENCHMARKS.index(row["benchmark"]))
    write_json(TARGET, kept)


def main(names):
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        rows = []
        for row in importlib.import_module(f"benchmarks.{name}").run():
            rows.append({"benchmark": name, **row})
            print(json.dumps(rows[-1]), flush=True)
        keep_rows(name, rows)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Makes the files of `dummy_data/`: synthetic phantoms in every format that is read.

python tools/make_dummy_data.py            # writes dummy_data/ of this checkout
python tools/make_dummy_data.py --check    # verifies it and compares it with a fresh one; exit code 1 if it differs
"""

import argparse
import pathlib
import sys
import tempfile

from tfrecon.cli.quiet import quiet_tensorflow

quiet_tensorflow()

from tfrecon.data import dummy  # noqa: E402 - TensorFlow is loaded here

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "dummy_data"


def check(folder: pathlib.Path) -> int:
    """Prints what differs from the manifest or from freshly made files; returns the exit code."""
    found = dummy.check_dummy_data(folder)
    with tempfile.TemporaryDirectory() as fresh:
        dummy.make_dummy_data(fresh)
        found |= dict.fromkeys(dummy.compare_folders(folder, fresh), "is made otherwise now") | found
    for name, what in found.items():
        print(f"{folder / name} {what}")
    return 1 if found else 0


def main() -> int:
    """Parses the flags and makes or checks the files; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER, help="the folder")
    parser.add_argument("--check", action="store_true", help="compare only")
    args = parser.parse_args()
    if args.check:
        return check(args.output)
    manifest = dummy.make_dummy_data(args.output)
    print(f"{manifest.parent}: {dummy.require_small(args.output) / 1e6:.2f} MB, described in {manifest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

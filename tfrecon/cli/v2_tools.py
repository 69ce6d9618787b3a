"""The four scripts of SSDiffReconV2 under their old names and flags: each calls a verb of tfrecon.

`SSDIFFRECON_TFRECORDS_DIR` and `SSDIFFRECON_DATA_DIR` say where records and other data are, where no
flag does. What the verbs print, refuse and return holds here as well.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

from tfrecon.cli.main import run_verb
from tfrecon.cli.old_flags import Parser, one_line_errors
from tfrecon.util.errors import InputError

RECORDS_VARIABLE = "SSDIFFRECON_TFRECORDS_DIR"
DATA_VARIABLE = "SSDIFFRECON_DATA_DIR"

RESULTS = pathlib.Path("results", "ixi_samples", "test")
REFERENCE = "ixi_test_reference"
FIGURE = "reference_images.png"

BEFORE_BELIEVING = (
    "keep in mind: each image is stretched to its own extremes, which hides errors of gain and offset, and against a "
    "zero-filled reference the best score goes to copying the input; tfrecon evaluate scores under fastMRI's convention"
)


def data_folder() -> pathlib.Path:
    """`$SSDIFFRECON_DATA_DIR`, else `data` in the current folder."""
    return pathlib.Path(os.environ.get(DATA_VARIABLE) or "data")


def records_folder() -> pathlib.Path:
    """`$SSDIFFRECON_TFRECORDS_DIR`, else `datasets/tfrecords-datasets` in the data folder."""
    given = os.environ.get(RECORDS_VARIABLE)
    return pathlib.Path(given) if given else data_folder() / "datasets" / "tfrecords-datasets"


@one_line_errors
def convert_to_tfr_with_split(words: Sequence[str]) -> int:
    """Numbered images (`im_{k}samples.npy`) to records of a training and a test split.

    Unlike the script it replaces: a smooth simulated phase or the image's own, no clipping, files in
    numeric order with their ids, splits by subject where it is known, and a mask where one is named.

    Args:
        words: the flags.

    Returns:
        The exit code.
    """
    parser = Parser(
        "convert_to_tfr_with_split",
        "im_NUMBERsamples.npy images to records of a training and a test split. Every flag of `tfrecon convert` is "
        "understood as well (--undersample, --mask, --volumes, --slices_per_volume, --layout, ...).",
    )
    parser.add_argument("--input", default=str(RESULTS), help="folder of the images (default: %(default)s)")
    parser.add_argument("--output", help=f"folder of the splits (default: ${RECORDS_VARIABLE}, {records_folder()})")
    parser.add_argument("--train", type=float, default=0.8, help="part of the training split (default: 0.8)")
    parser.add_argument("--seed", type=int, default=42, help="of split, phase and noise (default: 42)")
    parser.add_argument("--coils", type=int, default=1, help="simulated coils (default: 1, as in IXI's records)")
    args, more = parser.parse_known_args(words)
    if not 0 < args.train < 1:
        raise InputError(f"--train={args.train:g} is no part of a whole", fix="give a number between 0 and 1")
    split = f"train:{args.train:g},test:{1 - args.train:g}"
    own = ["--source=npy", f"--input={args.input}", f"--output={args.output or records_folder()}", f"--split={split}"]
    return run_verb("convert", [*own, f"--seed={args.seed}", f"--coils={args.coils}", *more])


@one_line_errors
def export_test_reference(words: Sequence[str]) -> int:
    """Magnitudes of the test records, `im_{k}samples.npy` in the records' order.

    Args:
        words: the flags.

    Returns:
        The exit code.
    """
    parser = Parser(
        "export_test_reference",
        "Writes the zero-filled images of the test records as im_NUMBERsamples.npy (float32 magnitude [H, W], in the "
        "order of the records). Every flag of `tfrecon reference` is understood as well.",
    )
    parser.add_argument("--out", help=f"folder of the images (default: {data_folder() / REFERENCE})")
    parser.add_argument("--max", type=int, help="stops after so many")
    parser.add_argument("--input", help=f"the test records (default: test in ${RECORDS_VARIABLE}, {records_folder()})")
    parser.add_argument("--kind", default="zero_filled", help="zero_filled (default) or ground_truth")
    args, more = parser.parse_known_args(words)
    own = [f"--input={args.input or _test_records()}", f"--output={args.out or data_folder() / REFERENCE}"]
    if args.max is not None:
        own.append(f"--max={args.max}")
    return run_verb("reference", [*own, f"--kind={args.kind}", *more])


@one_line_errors
def run_analysis(words: Sequence[str]) -> int:
    """PSNR, SSIM and stable NMSE of a folder of images against another, each image by its own extremes.

    Args:
        words: the flags.

    Returns:
        The exit code.
    """
    parser = Parser("run_analysis", "Scores images under SSDiffReconV2's convention (docs/metrics.md, v2).")
    parser.add_argument("--recon", default=str(RESULTS), help="folder of the images (default: %(default)s)")
    parser.add_argument("--gt", help=f"folder of the references (default: {data_folder() / REFERENCE})")
    parser.add_argument("--zero_filled", help="folder of the zero-filled images (default: RECON/zero_filled if any)")
    parser.add_argument("--output", help="folder of metrics.json and metrics.csv (default: RECON)")
    args = parser.parse_args(words)
    beside = (pathlib.Path(args.recon) / "zero_filled").is_dir()
    own = [f"--recon={args.recon}", f"--reference={args.gt or data_folder() / REFERENCE}", "--convention=v2"]
    if args.zero_filled or not beside:
        own.append(f"--zero_filled={args.zero_filled or 'none'}")
    if args.output:
        own.append(f"--output={args.output}")
    code = run_verb("evaluate", own)
    if code == 0:
        print(BEFORE_BELIEVING)
    return code


@one_line_errors
def plot_reference_images(words: Sequence[str]) -> int:
    """Some images of a folder side by side in one figure.

    Args:
        words: the flags.

    Returns:
        The exit code.
    """
    parser = Parser("plot_reference_images", "Draws images of a folder side by side, each in its own grey scale.")
    parser.add_argument("folder", nargs="?", help=f"folder of the images (default: {data_folder() / REFERENCE})")
    parser.add_argument("--indices", default="0,100,500,1000", help="their numbers (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=2, help="at most so many (default: 2)")
    parser.add_argument("--save", "--out", default=FIGURE, help="the figure file (default: %(default)s)")
    parser.add_argument("--dpi", type=int, default=100, help="pixels per inch (default: 100)")
    args = parser.parse_args(words)
    own = [f"--input={args.folder or data_folder() / REFERENCE}", f"--indices={args.indices}", f"--save={args.save}"]
    return run_verb("plot", [*own, "--grid", f"--rows={args.rows}", f"--dpi={args.dpi}"])


def _test_records() -> pathlib.Path:
    folder = records_folder()
    if not folder.exists():
        raise InputError(
            "no such folder of records", str(folder), f"give --input=FOLDER, or set {RECORDS_VARIABLE} to theirs"
        )
    return folder / "test" if (folder / "test").is_dir() else folder

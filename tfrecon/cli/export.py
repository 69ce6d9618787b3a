r"""Writes a trained model as a SavedModel, which TensorFlow runs without tfrecon.

tfrecon export --workdir=runs/first --output=exported
tfrecon export --workdir=runs/first --checkpoint=20000 --option=steps=10 --output=exported

The SavedModel holds the whole reconstruction, for any batch, number of coils and size:
`tf.saved_model.load("exported").reconstruct(kspace, mask, maps, seed)`. Its options are those of the
training unless --option changes them, and are fixed in it.
"""

from __future__ import annotations

from absl import flags

from tfrecon.cli.reconstruct import parse_options
from tfrecon.cli.trained_flags import define_trained_flags
from tfrecon.util.errors import InputError

FLAGS = flags.FlagValues()

define_trained_flags(FLAGS)
flags.DEFINE_string("output", None, "folder of the SavedModel", flag_values=FLAGS)
flags.DEFINE_multi_string("option", [], "NAME=VALUE, an option of the reconstruction", flag_values=FLAGS)
flags.DEFINE_bool("overwrite", False, "replaces an earlier export", flag_values=FLAGS)


def main(args: flags.FlagValues) -> None:
    """Runs the verb."""
    missing = [f"--{name}" for name in ("workdir", "output") if not args[name].value]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be given", fix="see tfrecon export --help")
    options = parse_options(args.option)
    from tfrecon.serve.export import export_saved_model

    folder = export_saved_model(
        args.workdir, args.output, checkpoint=args.checkpoint, options=options, overwrite=args.overwrite
    )
    print(f"wrote {folder}: a SavedModel with tfrecon.json")
    print(f"next: tfrecon reconstruct --model={folder} --input=DATA --output=IMAGES")

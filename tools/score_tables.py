r"""Markdown tables of what was measured of models, from the files of the tools that measure.

python tools/score_tables.py --compare=one_coil.json --label="prior=**score_small**" --over=prior:classical \
    --over=prior:self-supervised
python tools/score_tables.py --steps=runs/steps/steps_and_quality.json
python tools/score_tables.py --calibration="lines, R = 4=lines/calibration.json" --likelihood=test=likelihood.json \
    --page=docs/score.md --mark=intervals

`--compare` is of tools/compare_methods.py, `--steps` of tools/steps_and_quality.py, `--calibration` of
`tfrecon evaluate --calibration`, `--likelihood` of tools/likelihood.py; all may be repeated. Several files of methods
make one table, and have to be of the same records; without `--over` it says by how much each trained model is ahead of
the best classical method. With `--page` the tables go to where the page has
`<!-- generated MARK -->` and `<!-- end of generated MARK -->`.
"""

import sys
from collections.abc import Callable
from typing import Any

from absl import app, flags

from tfrecon.util.errors import InputError

_COMPARE = flags.DEFINE_multi_string("compare", [], "table of methods; several of the same records are one table")
_LABELS = flags.DEFINE_multi_string("label", [], "METHOD=TEXT, what a method is called in the table")
_OVER = flags.DEFINE_multi_string(
    "over", [], "METHOD:METHOD, a line of the difference; classical is the best one of each mask"
)
_INTERVALS = flags.DEFINE_bool("intervals", True, "bootstrap intervals of the differences")
_TIMES = flags.DEFINE_bool("times", True, "a column of seconds")
_STEPS = flags.DEFINE_multi_string("steps", [], "steps_and_quality.json")
_AGAINST = flags.DEFINE_string("against", "pc", "curve whose longest run the others of --steps are measured by")
_WITHIN = flags.DEFINE_float("within", 0.2, "dB that count as equal")
_CALIBRATION = flags.DEFINE_multi_string("calibration", [], "LABEL=FILE of a calibration.json")
_LIKELIHOOD = flags.DEFINE_multi_string("likelihood", [], "LABEL=FILE of likelihoods")
_PAGES = flags.DEFINE_multi_string("page", [], "Markdown page to put the tables into")
_MARK = flags.DEFINE_string("mark", "table", "name of the place in the pages")


def main(argv: list[str]) -> None:
    """Prints the tables, and writes them into the pages."""
    del argv
    try:
        run()
    except InputError as error:
        sys.exit(f"score_tables: {error}")


def run() -> None:
    """What `main` does, with the user's errors."""
    from tfrecon.report import tables
    from tfrecon.report.comparison import read_rows
    from tfrecon.report.pages import replace_marked

    made = []
    if _COMPARE.value:
        labels = dict(pair(word, "=", "label") for word in _LABELS.value)
        over = [pair(word, ":", "over") for word in _OVER.value]
        rows = read_rows(_COMPARE.value)
        made.append(tables.comparison_table(rows, labels, over or None, intervals=_INTERVALS.value, times=_TIMES.value))
    made += [steps_text(path) for path in _STEPS.value]
    if _CALIBRATION.value:
        made.append(tables.calibration_table(labelled(_CALIBRATION.value, "calibration", tables.read_calibration)))
    if _LIKELIHOOD.value:
        made.append(tables.likelihood_table(labelled(_LIKELIHOOD.value, "likelihood", tables.read_likelihood)))
    if not made:
        raise InputError(
            "there is nothing to make tables of", fix="give --compare, --steps, --calibration or --likelihood"
        )
    text = "\n\n".join(made)
    print(text)
    for page in _PAGES.value:
        replace_marked(page, text, _MARK.value)
        print(f"wrote {page}")


def pair(text: str, mark: str, flag: str) -> tuple[str, str]:
    """Two words around the first of a mark.

    Raises:
        InputError: one of them is empty.
    """
    first, _, second = text.partition(mark)
    if not (first and second):
        raise InputError(f"--{flag}={text} is not two words with {mark!r} between", fix="see --help")
    return first, second


def labelled(words: list[str], flag: str, read: Callable[[str], Any]) -> dict[str, Any]:
    """What is in the files of LABEL=FILE words, by label; a label may have "=" in it.

    Raises:
        InputError: a word is written otherwise, a label is there twice, or a file is none of these.
    """
    found = {}
    for word in words:
        label, _, path = word.rpartition("=")
        if not (label and path):
            raise InputError(f"--{flag}={word} is not LABEL=FILE", fix="write for instance test=file.json")
        if label in found:
            raise InputError(f"--{flag} has two files called {label!r}", fix="give each a label of its own")
        found[label] = read(path)
    return found


def steps_text(path: str) -> str:
    """The table of one file of tools/steps_and_quality.py, and what it says of few steps."""
    from tfrecon.report import steps_and_quality

    rows = steps_and_quality.read_rows(path)
    lines = [f"- {line}" for line in steps_and_quality.comparisons(rows, _AGAINST.value, _WITHIN.value)]
    return "\n".join([steps_and_quality.table(rows, rows[0].slices), "", *lines])


if __name__ == "__main__":
    app.run(main)

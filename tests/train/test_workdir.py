"""One run in a workdir, one process at a time, and workers that write elsewhere."""

import pytest
import toy_data

from tfrecon.train.workdir import open_workdir, settle_config, write_config
from tfrecon.util.errors import InputError


def test_only_one_may_train_in_it(tmp_path):
    with open_workdir(tmp_path / "a" / "b") as workdir:
        assert workdir.is_own and workdir.best == tmp_path / "a" / "b" / "best"
        with pytest.raises(InputError, match="another process is training in it"), open_workdir(tmp_path / "a" / "b"):
            pass
    with open_workdir(tmp_path / "a" / "b"):
        pass


def test_other_workers_write_into_a_folder_that_goes_away(tmp_path):
    with open_workdir(tmp_path, chief=False) as workdir:
        assert workdir.folder == tmp_path and not workdir.is_own
        write_config(workdir, toy_data.toy_experiment("a"))
        output = workdir.output
        assert (output / "config.json").is_file() and list(tmp_path.iterdir()) == []
    assert not output.exists()


def test_a_file_is_no_workdir(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, not a folder"), open_workdir(tmp_path / "file"):
        pass


@pytest.fixture
def begun(tmp_path):
    """A workdir in which there is something to lose."""
    with open_workdir(tmp_path) as workdir:
        write_config(workdir, toy_data.toy_experiment("a"))
        workdir.checkpoints.mkdir()
        yield workdir


def test_the_workdir_alone_says_what_to_run(begun):
    assert settle_config(begun, None) == toy_data.toy_experiment("a")


def test_how_long_and_how_often_may_change(begun):
    settings = {"steps": 99, "log_every": 1, "validate_every": 2, "checkpoint_every": 3, "checkpoint_minutes": 4.0}
    longer = toy_data.toy_experiment("a", train={**settings, "keep_checkpoints": 5, "images": 6})
    assert settle_config(begun, longer) == longer


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 4}, "seed"),
        ({"train": {"ema_decay": 0.5}, "data": {"batch_size": 2}}, "data.batch_size, train.ema_decay"),
        ({"model": {"features": 3}, "train": {"steps": 5}}, "model.features"),
    ],
)
def test_what_decides_the_course_may_not(changes, named, begun):
    with pytest.raises(InputError, match=rf"its run has other values of {named}; choose another --workdir"):
        settle_config(begun, toy_data.toy_experiment("a", **changes))


def test_of_another_method(begun):
    (begun.folder / "config.json").write_text('{"method": "cg_sense"}')
    with pytest.raises(InputError, match="is of method 'cg_sense', not 'toy'"):
        settle_config(begun, toy_data.toy_experiment("a"))


def test_a_run_that_came_to_nothing_may_be_corrected(tmp_path):
    with open_workdir(tmp_path) as workdir:
        write_config(workdir, toy_data.toy_experiment("a"))
        assert settle_config(workdir, toy_data.toy_experiment("b")).data.train == "b"


def test_nothing_to_go_on_with(tmp_path):
    with open_workdir(tmp_path) as workdir:
        with pytest.raises(InputError, match=r"has no config\.json to go on with; give --config=FILE\.py"):
            settle_config(workdir, None)
        workdir.best.mkdir()
        with pytest.raises(InputError, match=r"has best/ of a run but no config\.json"):
            settle_config(workdir, toy_data.toy_experiment("a"))

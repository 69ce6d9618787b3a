"""When steps end: on a clock that goes as fast as the test says."""

import pytest
import tqdm

from tfrecon.serve import pace as pace_module
from tfrecon.serve.pace import LOOK_SECONDS, OutOfTime, Pace, RunClock


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        time = 100.0

    monkeypatch.setattr(pace_module, "now", lambda: Clock.time)
    return Clock


def walk(pace, clock, steps, seconds):
    """Makes the steps that the pace allows; returns how many there were in each part."""
    pace.begin(steps)
    parts = []
    while count := pace.next():
        clock.time += count * seconds
        pace.made_steps(count)
        parts.append(count)
    return parts


def test_without_a_deadline_all_steps_are_made_and_the_clock_is_looked_at(clock):
    heard = []
    pace = Pace(None, heard.append)
    parts = walk(pace, clock, 50, 0.1)
    assert parts == [1, *[int(LOOK_SECONDS / 0.1 + 1e-9)] * 9, 4]
    assert heard[-1] == 1 and heard == sorted(heard)
    assert (pace.made, pace.steps, pace.stopped) == (50, 50, False)


@pytest.mark.parametrize("seconds, made", [(10.0, 10), (10.4, 10), (9.9, 9), (1.5, 1), (0.2, 1), (60.0, 50)])
def test_the_last_step_that_fits_is_the_last(clock, seconds, made):
    pace = Pace(clock.time + seconds)
    assert sum(walk(pace, clock, 50, 1.0)) == made
    assert pace.made == made and pace.stopped is (made < 50)
    assert clock.time <= 100 + max(seconds, 1.0)


def test_quick_steps_do_not_overrun_either(clock):
    pace = Pace(clock.time + 1.0)
    assert sum(walk(pace, clock, 1000, 0.003)) in (332, 333)
    assert clock.time <= 101.0


def test_no_time_for_a_step(clock):
    pace = Pace(clock.time)
    pace.begin(5)
    with pytest.raises(OutOfTime, match="before a single step"):
        pace.next()


def test_batches_of_a_record_share_its_time(clock):
    heard = []
    pace = Pace(clock.time + 12, heard.append)
    made = []
    for part in range(3):
        pace.enter(part, 3)
        made.append(sum(walk(pace, clock, 6, 0.5 if part == 0 else 1.0)))
    assert made == [6, 4, 5]  # what the first did not need, the others have
    assert pace.stopped and pace.made == 4 and heard[-1] == pytest.approx((2 + 5 / 6) / 3)


def test_whoever_compiles_makes_a_few_steps_of_every_part(clock):
    pace = Pace(most=2)
    for part in range(2):
        pace.enter(part, 2)
        assert walk(pace, clock, 50, 0.1) == [1, 1]
    assert (pace.made, pace.steps, pace.stopped) == (2, 50, True)
    assert sum(walk(Pace(most=9), clock, 4, 0.1)) == 4


def test_records_share_the_time_of_a_run(clock, capsys):
    with tqdm.tqdm(total=4, initial=1, mininterval=0) as bar:
        run = RunClock(30, 1, 4, bar)
        made = []
        for seconds in (0.5, 1.0, 2.0):
            made.append(sum(walk(run.pace(), clock, 12, seconds)))
            run.next()
        assert made == [12, 12, 6] and bar.n == 4
    assert "s of the budget left" in capsys.readouterr().err

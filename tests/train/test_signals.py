"""Signals are remembered once, and then do again what they did before."""

import signal

import pytest

from tfrecon.train.signals import StopOnSignal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_is_remembered_and_the_second_is_as_before(number):
    seen = []
    before = signal.signal(number, lambda *_: seen.append("second"))
    try:
        with StopOnSignal() as stop:
            assert not stop() and stop.received is None
            signal.raise_signal(number)
            assert stop() and stop.received == number and seen == []
            signal.raise_signal(number)
            assert seen == ["second"]
    finally:
        signal.signal(number, before)


def test_handlers_come_back_without_a_signal():
    before = signal.getsignal(signal.SIGTERM)
    with StopOnSignal():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before

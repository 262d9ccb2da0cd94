"""A signal waits for the step to end; a second one does not."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from nearfar_kit.stopping import stops_between_steps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_step_is_finished_and_then_it_stops(number):
    done = []
    with pytest.raises(KeyboardInterrupt), stops_between_steps() as stop:
        for step in range(5):
            if stop.asked:
                break
            if step == 2:
                os.kill(os.getpid(), number)
            done.append(step)
    assert done == [0, 1, 2]


def test_the_second_interrupts_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt), stops_between_steps():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("first")
        os.kill(os.getpid(), signal.SIGINT)
        done.append("second")
    assert done == ["first"]


def test_handlers_are_put_back_and_errors_pass():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), stops_between_steps():
        _ = 1 / 0
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_is_set():
    seen = []

    def work():
        with stops_between_steps() as stop:
            seen.append(stop.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]

"""A pytest plugin: every phase of a test ends within a limit, so that one that waits for ever fails by name.

Where each thread was is written to the standard error output of the test.
"""

import faulthandler
import os
import signal
import sys

import pytest

_LIMIT_S = 180 * (1 if os.environ.get("WEIR_TEST_SLOW", "1") == "1" else 4)


def _too_long(_signal, _frame):
    faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)
    pytest.fail(f"still running after {_LIMIT_S} s")


def _limited():
    if os.environ.get("WEIR_LONG"):
        yield
        return
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(_LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup():
    yield from _limited()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call():
    yield from _limited()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown():
    yield from _limited()

"""Waiting for conditions instead of for time."""

import time


def wait_until(condition, what, timeout_s=15.0, interval_s=0.01):
    """Returns the first true value of `condition()`; fails with `what` (a string or callable) after the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain: {what() if callable(what) else what}")
        time.sleep(interval_s)

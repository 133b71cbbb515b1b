"""Many requests at once, each checked."""

import threading

from .client import Client


class Innocents:
    """Clients that keep asking for a harmless answer until stopped; every answer must be right."""

    def __init__(self, port, check, count=50, target="/innocent", host="test.example", headers=()):
        self.port, self.check, self.target, self.host, self.headers = port, check, target, host, headers
        self.answered = 0
        self.failures = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def _run(self, number):
        try:
            with Client(self.port, timeout_s=60) as client:
                while not self._stop.is_set():
                    response = client.exchange(target=self.target, host=self.host, headers=self.headers)
                    self.check(response)
                    with self._lock:
                        self.answered += 1
        except Exception as error:
            with self._lock:
                self.failures.append(f"client {number}: {error!r}")

    def finish(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
        assert not self.failures, f"{len(self.failures)} failed, first: {self.failures[0]}"
        assert self.answered > 0, "no innocent request was answered"

    def __exit__(self, kind, *_):
        if kind is None:
            self.finish()
        else:
            self._stop.set()


def together(count, action):
    """Runs action(i) in `count` threads; returns the results, or raises the first failure."""
    results, failures = [None] * count, []

    def run(i):
        try:
            results[i] = action(i)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads), "a client hangs"
    if failures:
        raise failures[0]
    return results

"""Servers of HTTP/2 that say how much they take at a time: what is more goes to further connections."""

import struct
import threading

import pytest

from harness import h2
from harness.client import Client, request_bytes
from harness.load import together
from harness.proxy import ON_TRAEFIK, one_router

CALLS = 12


class Few:
    """Takes `limit` calls at a time on each connection, refuses those beyond, and answers when all have come."""

    def __init__(self, limit, late):
        self.limit, self.late = limit, late
        self.taken, self.refused, self.all_here = 0, 0, threading.Event()
        self._lock = threading.Lock()

    def serve(self, connection):
        settings = h2.frame(h2.SETTINGS, payload=struct.pack("!HI", 3, self.limit))
        connection.reader.exactly(len(h2.PREFACE))
        mine, said = [], not self.late
        if said:
            connection.send(settings)
        while True:
            kind, flags, stream, _ = h2.read_frame(connection.reader)
            if kind != h2.HEADERS:
                continue
            if not said:
                connection.send(settings)
                said = True
            if len(mine) == self.limit:
                with self._lock:
                    self.refused += 1
                connection.send(h2.frame(h2.RST_STREAM, 0, stream, struct.pack("!I", 7)))
                continue
            mine.append(stream)
            with self._lock:
                self.taken += 1
                if self.taken == CALLS:
                    self.all_here.set()
            threading.Thread(target=self._answer, args=(connection, stream), daemon=True).start()

    def _answer(self, connection, stream):
        if self.all_here.wait(60):
            connection.send(h2.response(200, pieces=[b"ok"], stream=stream))


@pytest.mark.skipif(ON_TRAEFIK, reason="Go counts on 100 streams before it is told")
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("limit", [1, 3, CALLS])
def test_calls_beyond_what_a_connection_takes(upstream, proxy, limit, late):
    """They were sent before the server had said how many it takes, and then failed, or waited for the others to end."""
    few = Few(limit, late)
    p = proxy(one_router(upstream(serve=few.serve).url.replace("http", "h2c")), static={"weir": {"workers": 1}})

    def call(_):
        with Client(p.port, timeout_s=60) as client:
            client.send(request_bytes())
            return client.response().status

    assert together(CALLS, call) == [200] * CALLS

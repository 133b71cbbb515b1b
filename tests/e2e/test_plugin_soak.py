"""A mixed load on plugins of every isolation, with traps, clients that go, timeouts, sleepers and reloads in between:
afterwards memory, descriptors, mappings and threads are as they were after a part of it, and the counters balance.
About twelve seconds; with WEIR_LONG ten minutes, or WEIR_SOAK_SECONDS."""

import os
import random
import threading
import time

import pytest

from harness import process
from harness.client import Client
from harness.proxy import Plugin, memory_tells, merge, one_router, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = [pytest.mark.differs("Traefik has neither isolation nor limits"), pytest.mark.slow]

PAUSES = 4
SECONDS = float(os.environ.get("WEIR_SOAK_SECONDS", "600" if "WEIR_LONG" in os.environ else "12"))
CLIENTS = 12
MIB = 1 << 20
# What a pause may differ from the first one by.
MEMORY_BYTES, DESCRIPTORS, MAPPINGS, THREADS = 8 * MIB, 8, 60, 4

GUESTS = {  # alias: (guest, configuration, settings)
    "header": ("header", {"response": {"X-Ok": "1"}}, {"isolation": "reuse"}),
    "counter": ("counter", {}, {"isolation": "reset"}),
    "secret": ("secret", {}, {"isolation": "fresh"}),
    "ballast": ("ballast", {"mib": 4, "dirty": 64, "spread": 3}, {"isolation": "reset"}),
    "body": ("body", {"features": 3, "request": "rewrite", "response": "rewrite"}, {"isolation": "reuse", "maxRequests": 50}),
    "trap": ("trap", {"phase": "request"}, {"isolation": "reset", "circuitFailures": 0}),
    "sleeper": ("sleeper", {}, {"isolation": "reuse", "exchangeTime": "200ms"}),
    "loop": ("loop", {"phase": "request"}, {"isolation": "fresh", "callCPU": "20ms"}),
}


def configuration(url, extra=""):
    http = {"routers": {}, "services": {"s": servers(url)}, "middlewares": {}}
    for alias, (_, config, _) in GUESTS.items():
        http["middlewares"][alias] = {"plugin": {alias: merge(config, {"reload": extra})}}
        http["routers"][alias] = {"rule": f"Host(`{alias}.test`)", "service": "s", "middlewares": [alias]}
    return {"http": http}


def answer(connection, request):
    connection.send(response_bytes(body=request.body or b"ok"))


class Crowd:
    """Clients that ask until they are told to stop; each answer is one of those that are right."""

    def __init__(self, p):
        self.p, self.stop = p, threading.Event()
        self.answered, self.left, self.failures = 0, 0, []
        self._lock = threading.Lock()

    def run(self, seconds):
        self.stop.clear()
        threads = [threading.Thread(target=self._client, args=(random.Random(i),), daemon=True) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def _client(self, lot):
        try:
            while not self.stop.is_set():
                with Client(self.p.port, timeout_s=60) as client:
                    self._connection(client, lot)
        except Exception as error:
            with self._lock:
                self.failures.append(repr(error))

    def _connection(self, client, lot):
        for _ in range(lot.randrange(1, 200)):
            if self.stop.is_set():
                return
            kind = lot.random()
            if kind < 0.02:
                self._leave(client, lot)
                return
            self._request(client, kind, lot)
            with self._lock:
                self.answered += 1

    def _leave(self, client, lot):
        """In the middle of a body, or without waiting for the answer."""
        if lot.random() < 0.5:
            client.send(b"POST / HTTP/1.1\r\nHost: body.test\r\nContent-Length: 100000\r\n\r\nabc")
        else:
            client.send(b"GET /evil HTTP/1.1\r\nHost: %s\r\n\r\n" % lot.choice([b"sleeper.test", b"ballast.test", b"loop.test"]))
        if lot.random() < 0.5:
            client.reset()
        with self._lock:
            self.left += 1

    def _request(self, client, kind, lot):
        if kind < 0.022:
            check(client.exchange(target="/evil", host=lot.choice(["trap.test", "loop.test", "sleeper.test"])), (500, 503, 504))
        elif kind < 0.1:
            check(client.exchange("POST", "/", host="body.test", body=b"a" * lot.choice([3, 3000, 90000])), (200,))
        elif kind < 0.3:
            response = client.exchange(target=f"/{lot.randrange(10 ** 8):08d}", host="secret.test")
            check(response, (200,))
            assert response.body == b"none"
        elif kind < 0.4:
            check(client.exchange(host="ballast.test"), (200,))
        elif kind < 0.7:
            response = client.exchange(host="counter.test")
            check(response, (200,))
            assert response.body == b"memory=1 global=1"
        else:
            check(client.exchange(host="header.test"), (200,))


def check(response, statuses):
    assert response.status in statuses, f"{response.start_line} {response.body[:80]!r}"


def figures(p):
    return {"memory": p.pss_bytes, "descriptors": p.descriptors, "mappings": process.mappings(p.pid), "threads": p.threads}


def settled(first, now):
    return (now["descriptors"] <= first["descriptors"] + DESCRIPTORS and now["threads"] <= first["threads"] + THREADS and
            (not memory_tells() or (now["memory"] <= first["memory"] + MEMORY_BYTES and
                                    now["mappings"] <= first["mappings"] + MAPPINGS)))


def counts(p):
    metrics = p.scrape()
    return {name: metrics.sum(f"weir_plugin_{name}") for name in ("in_use", "waiting", "live")}


def quiet(p):
    """Nobody waits, and no instance is left but the first one of a plugin that nobody has asked for since it was loaded."""
    now = counts(p)
    return now["in_use"] == now["waiting"] == 0 and now["live"] <= len(GUESTS)


def test_soak(upstream, proxy):
    server = upstream(answer)
    aliases = {alias: settings for alias, (_, _, settings) in GUESTS.items()}
    p = proxy(configuration(server.url), plugins={alias: Plugin(guest) for alias, (guest, _, _) in GUESTS.items()},
              static={"weir": {"workers": 2, "plugins": {"defaults": {"idleTimeout": "300ms"}, "perPlugin": aliases}}})
    crowd, first, now = Crowd(p), None, None
    for pause in range(PAUSES):
        threads = crowd.run(SECONDS / PAUSES)
        end, reloads = time.monotonic() + SECONDS / PAUSES, 0
        while time.monotonic() < end and not crowd.failures:
            reloads += 1
            p.apply(configuration(server.url, str(reloads % 3)))
        crowd.stop.set()
        for thread in threads:
            thread.join(90)
        assert not crowd.failures, f"{len(crowd.failures)} failed, first: {crowd.failures[0]}\n{p.log()[-3000:]}"
        wait_until(lambda: quiet(p), lambda: f"all instances have gone: {counts(p)}", 60, 0.1)
        if first is None:
            first = figures(p)

        def flat():
            nonlocal now
            now = figures(p)
            return settled(first, now)

        wait_until(flat, lambda: f"{now} is like {first}", 30, 0.2)
        print(f"pause {pause}: {crowd.answered} answered, {crowd.left} left, {reloads} reloads, {now}")
    assert crowd.answered > 100 and crowd.left > 0
    assert p.running

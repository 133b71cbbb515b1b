"""One thing fails at a time while rateLimit asks Redis: the request is refused at most, and Redis is found again."""

import pytest

from faults import EVERY, ONCE
from harness.client import Client, request_bytes
from harness.message import Closed
from harness.proxy import one_router
from harness.redis import RedisServer
from harness.waiting import wait_until

CALLS_MAX = 5000  # no request makes so many
REFUSALS = (500, 502, 503, 504)


@pytest.fixture
def redis(tmp_path):
    server = RedisServer(tmp_path / "redis", "--requirepass", "open-sesame", password="open-sesame").start()
    yield server
    server.stop()


@pytest.fixture
def limited(upstream, proxy, faults, redis):
    dynamic = one_router(upstream().url, middlewares=["slow"])
    at = {"endpoints": [redis.address], "password": "open-sesame", "db": 1}
    dynamic["http"]["middlewares"] = {"slow": {"rateLimit": {"average": 1, "period": "1h", "burst": 1000000, "redis": at}}}
    return proxy(dynamic, environment=faults.environment(), static={"weir": {"workers": 1}})


def attempt(p):
    """The status of one request, or None if there was no answer."""
    try:
        with Client(p.port, timeout_s=20) as client:
            client.send(request_bytes())
            return client.response("GET").status
    except (Closed, ConnectionError):
        return None


def lose_connections(redis):
    redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("kind,mode", [("malloc", ONCE), ("malloc", EVERY), ("socket", ONCE), ("connect", ONCE), ("recv", ONCE), ("sendmsg", ONCE), ("epoll_ctl", ONCE)])
def test_a_request(limited, faults, redis, kind, mode, connected):
    """On a connection that is there, and on one that must be opened."""
    wait_until(lambda: attempt(limited) == 200, "requests pass", 30)
    for n in range(1, CALLS_MAX):
        if not connected:
            lose_connections(redis)
        faults.arm(kind, n, mode)
        status = attempt(limited)
        hits, place = faults.disarm(), faults.where
        assert limited.running, f"{kind} {n} ended the proxy, at {place}\n{limited.log()}"
        if hits == 0:
            assert status == 200, f"{status} although nothing failed"
            assert n > 1 or connected and kind in ("socket", "connect", "epoll_ctl"), "nothing failed"
            return
        assert status in (None, 200, *REFUSALS), f"{kind} {n}, at {place}"
        wait_until(lambda: attempt(limited) == 200, lambda: f"requests pass after {kind} {n}, at {place}\n{limited.log()}", 30)
    raise AssertionError(f"no end of {kind} after {CALLS_MAX} calls")

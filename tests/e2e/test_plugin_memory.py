"""Memory of plugins: how long a guest's state lives under each isolation, and one budget for all instances."""

import re
import threading

import pytest

from harness.load import together
from harness.proxy import Plugin, one_router
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("Traefik has neither isolation nor limits")

MIB = 1 << 20
METHODS = ["scan", "pagemap", "drop"]
# The program's own pages count half while a second one runs beside this test.
SETTLED = 10 * MIB


def behind(proxy, server, guest, config=None, plugins=None, defaults=None):
    static = {"weir": {"workers": 1, "plugins": {"directory": "./plugins-local", **(plugins or {})}}}
    if defaults:
        static["weir"]["plugins"]["defaults"] = defaults
    return proxy(one_router(server.url, plugin={"guest": config or {}}), plugins={"guest": Plugin(guest)}, static=static)


def holding(upstream):
    """A server that answers nobody until the event is set."""
    release = threading.Event()

    def answer(connection, request):
        assert release.wait(60)
        connection.send(response_bytes(body=b"ok"))

    return upstream(answer), release


def counts(p, requests):
    with p.connect() as client:
        bodies = [client.exchange().body.decode() for _ in range(requests)]
    pairs = [re.fullmatch(r"memory=(\d+) global=(\d+)", body).groups() for body in bodies]
    assert all(memory == in_global for memory, in_global in pairs)
    return [int(memory) for memory, _ in pairs]


@pytest.mark.parametrize("isolation", ["reset", "fresh"])
@pytest.mark.parametrize("method", METHODS)
def test_state_ends_with_the_request(upstream, proxy, method, isolation):
    p = behind(proxy, upstream(), "counter", plugins={"restore": method, "selfCheck": True},
               defaults={"isolation": isolation})
    assert counts(p, 50) == [1] * 50


def test_state_ends_after_so_many_requests(upstream, proxy):
    p = behind(proxy, upstream(), "counter", defaults={"maxRequests": 3})
    assert counts(p, 8) == [1, 2, 3, 1, 2, 3, 1, 2]


def test_instances_that_initialise_themselves(upstream, proxy):
    p = behind(proxy, upstream(), "counter", defaults={"init": "own", "isolation": "reset"})
    assert counts(p, 5) == [1] * 5


def test_reset_under_load(upstream, proxy):
    p = behind(proxy, upstream(), "counter", defaults={"isolation": "reset"})
    for result in together(8, lambda i: counts(p, 50)):
        assert result == [1] * 50


def test_initialised_once(upstream, proxy):
    """However many instances there are, the guest's initialisation ran once."""
    server, release = holding(upstream)
    p = behind(proxy, server, "ballast", {"mib": 4})
    clients = threading.Thread(target=lambda: together(20, lambda i: p.fetch(timeout_s=60)))
    clients.start()
    wait_until(lambda: len(server.requests) == 20, "all requests are with the upstream")
    release.set()
    clients.join(60)
    assert p.log().count("ballast guest initialised") == 1


def test_many_instances_share_what_they_were_initialised_with(upstream, proxy):
    server, release = holding(upstream)
    p = behind(proxy, server, "ballast", {"mib": 20}, defaults={"idleTimeout": "1s"})
    before = p.pss_bytes
    clients = threading.Thread(target=lambda: together(100, lambda i: p.fetch(timeout_s=60)))
    with p.flat(memory_bytes=SETTLED, descriptors=200):
        clients.start()
        wait_until(lambda: len(server.requests) == 100, "all requests are with the upstream")
        assert p.pss_bytes < before + 24 * MIB
        release.set()
        clients.join(60)


def test_budget(upstream, proxy):
    """Each of 60 requests changes 2 MiB; 48 MiB are there: some wait, and get 503 when they have waited too long."""
    server, release = holding(upstream)
    p = behind(proxy, server, "ballast", {"mib": 8, "dirty": 512}, plugins={"memoryBudget": "48MiB"},
               defaults={"idleTimeout": "1s", "queueTimeout": "1s"})
    before = p.pss_bytes
    responses = []
    with p.flat(memory_bytes=SETTLED, descriptors=130):
        clients = threading.Thread(target=lambda: responses.extend(together(60, lambda i: p.fetch(timeout_s=60))))
        clients.start()
        wait_until(lambda: p.log().count("no instance is free") > 20, "some give up")
        assert p.pss_bytes < before + (48 + 16) * MIB
        release.set()
        clients.join(60)
    served = [r for r in responses if r.status == 200]
    refused = [r for r in responses if r.status == 503]
    assert len(served) + len(refused) == 60
    assert len(served) >= 8 and len(refused) >= 20
    assert all(r.get("Retry-After") == "1" for r in refused)
    assert p.fetch().status == 200

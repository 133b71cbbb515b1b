"""Names of servers whose address changes, or cannot be found for a while."""

import pytest

from harness.load import together
from harness.ports import free_port
from harness.proxy import one_router
from harness.upstream import Upstream, response_bytes
from harness.waiting import wait_until


def server_at(stack, address, port, name):
    return stack(lambda c, r: c.send(response_bytes(body=name)), host=address, port=port)


@pytest.fixture
def flip(upstream, proxy, faults):
    """flip.example is at 127.0.0.2 first: (proxy, its server, port)."""
    first = server_at(upstream, "127.0.0.2", free_port("127.0.0.2"), b"first")
    faults.resolve("127.0.0.2")
    p = proxy(one_router(f"http://flip.example:{first.port}"), environment=faults.environment(),
              static={"weir": {"workers": 1, "limits": {"dnsCache": "100ms"}},
                      "serversTransport": {"forwardingTimeouts": {"idleConnTimeout": "200ms", "dialTimeout": "5s"}}})
    assert p.fetch().body == b"first"
    return p, first


def test_address_that_changes(upstream, faults, flip):
    """New connections go to the new address once the cached one is old; kept connections end in their time."""
    p, first = flip
    second = server_at(upstream, "127.0.0.3", first.port, b"second")
    faults.resolve("127.0.0.3")

    def body():
        response = p.fetch()
        assert response.status == 200 and response.body in (b"first", b"second")
        return response.body

    with p.connect() as client:
        wait_until(lambda: client.exchange().body == b"second" or _pause(first), "the new address is used", 20)
    wait_until(lambda: first.open_connections == 0, "the old server is left")
    assert body() == b"second"
    assert second.requests


def _pause(server):
    """Lets the kept connection go idle for long enough to be closed."""
    wait_until(lambda: server.open_connections == 0, "the idle connection ends")
    return False


def test_server_that_moves(upstream, faults, flip):
    """The old server dies: its connections are reset, the next lookup finds the new one."""
    p, first = flip
    server_at(upstream, "127.0.0.3", first.port, b"second")
    faults.resolve("127.0.0.3")
    first.kill()
    wait_until(lambda: p.fetch().body == b"second", "the new server answers", 20)


def test_name_that_is_lost_for_a_while(faults, flip):
    """Errors meanwhile, none afterwards; nobody waits for ever, and one lookup serves all who wait."""
    p, first = flip
    faults.resolve(None)
    wait_until(lambda: p.fetch().status == 502 or _pause(first), "the cached address is old", 20)
    before = faults.lookups
    with p.flat():
        assert set(together(30, lambda i: p.fetch(timeout_s=20).status)) == {502}
    assert faults.lookups - before <= 30
    faults.resolve("127.0.0.2")
    assert p.fetch().body == b"first"

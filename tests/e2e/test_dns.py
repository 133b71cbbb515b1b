"""Names of servers as a name server gives them that hangs, lies, changes its mind, or knows addresses where nobody is."""

import contextlib
import os
import socket
import struct
import time

import pytest

from harness import network
from harness.dns import NXDOMAIN, REFUSED, SERVFAIL, NameServer
from harness.load import together
from harness.proxy import ON_TRAEFIK, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = [pytest.mark.skipif(ON_TRAEFIK, reason="weir's own cache and limits"),
              pytest.mark.skipif(network.why_not(tun=False) is not None, reason=str(network.why_not(tun=False))),
              pytest.mark.skipif(not os.path.exists("/etc/nsswitch.conf"), reason="the C library asks no name server here")]

PATIENCE_S = 60 * int(os.environ.get("WEIR_TEST_SLOW", "1"))
NAMES = ("one", "two", "three", "four", "five")


class World:
    """A namespace with a name server, the proxy with a router for each of NAMES, which leads to the server NAME.example."""

    def __init__(self, namespace, names, proxy, upstream):
        self.namespace, self.names, self._upstream = namespace, names, upstream
        self.port = 8080
        http = {"routers": {name: {"rule": f"Host(`{name}`)", "service": name} for name in NAMES},
                "services": {name: servers(f"http://{name}.example:{self.port}") for name in NAMES}}
        self.proxy = proxy({"http": http}, namespace=namespace, files=names.files, metrics=True, static={
            "weir": {"workers": 1, "limits": {"dnsCache": "100ms"}},
            "serversTransport": {"forwardingTimeouts": {"idleConnTimeout": "50ms", "dialTimeout": "8s"}}})

    def server(self, address):
        """One that says at which address it is."""
        with self.namespace:
            return self._upstream(lambda connection, request: connection.send(response_bytes(body=address.encode())), host=address, port=self.port)

    def fetch(self, name="one"):
        response = self.proxy.fetch(host=name, timeout_s=PATIENCE_S)
        return response.body.decode() if response.status == 200 else response.status

    def fetch_anew(self):
        """By a new connection."""
        wait_until(lambda: self.counted("idle") == 0, "no connection is left", PATIENCE_S)
        return self.fetch()

    def counted(self, name):
        return self.proxy.scrape().value(f"weir_upstream_{name}")


@pytest.fixture
def world(proxy, upstream, tmp_path):
    with contextlib.closing(network.Namespace()) as namespace, contextlib.closing(NameServer(namespace, tmp_path)) as names:
        made = World(namespace, names, proxy, upstream)
        yield made
        made.proxy.stop()  # before its network goes


def at(*addresses):
    """Answers with these, of the type that is asked for."""
    return lambda query: query.reply(*(("AAAA" if ":" in address else "A", address) for address in addresses))


def test_addresses_of_both_kinds(world):
    world.server("127.0.0.2"), world.server("::1")
    world.names.answer = lambda query: query.reply(("A", "127.0.0.2") if query.name == "one.example" else ("AAAA", "::1"))
    assert (world.fetch("one"), world.fetch("two")) == ("127.0.0.2", "::1")
    assert {kind for _, kind in world.names.queries} == {"A", "AAAA"}


def test_answers_are_kept_for_a_while(world):
    world.server("127.0.0.2")
    world.names.answer = at("127.0.0.2")
    began = time.monotonic()
    assert set(together(20, lambda i: world.fetch())) == {"127.0.0.2"}
    lasted = time.monotonic() - began
    assert world.names.asked("one.example") <= 2 * (1 + lasted / 0.1)


LIES = {
    "no such name": lambda query: query.reply(code=NXDOMAIN),
    "no address": lambda query: query.reply(),
    "refused": lambda query: query.reply(code=REFUSED),
    "server failure": lambda query: query.reply(code=SERVFAIL),
    "another id": lambda query: query.reply(("A", "127.0.0.3"), id=query.id ^ 1),
    "another question": lambda query: query.reply(("A", "127.0.0.3"), name="liar.example"),
    "of another name": lambda query: query.reply(("A", "127.0.0.3", "liar.example")),
    "truncated, nothing over TCP": lambda query: None if query.tcp else query.reply(("A", "127.0.0.3"), truncated=True),
    "a name for itself": lambda query: query.reply(("CNAME", query.name)),
    "names in a circle": lambda query: query.reply(("CNAME", "other.example"), ("CNAME", query.name, "other.example")),
    "half an answer": lambda query: query.reply(("A", "127.0.0.3"))[:-6],
    "garbage": lambda query: struct.pack("!H", query.id) + os.urandom(60),
    "nothing": lambda query: None,
}


@pytest.mark.parametrize("lie", LIES)
def test_lies(world, lie):
    """Nobody is sent elsewhere, requests end, and all is well when the truth is told."""
    world.server("127.0.0.2")
    liar = world.server("127.0.0.3")
    world.names.answer = LIES[lie]
    with world.proxy.flat(threads=8):  # those that look names up
        assert set(together(5, lambda i: world.fetch())) <= {502, 504}
    assert liar.requests == []
    world.names.answer = at("127.0.0.2")
    wait_until(lambda: world.fetch() == "127.0.0.2", "the truth is told", PATIENCE_S)


def test_long_answers_come_over_tcp(world):
    world.server("127.0.0.2")
    world.names.answer = lambda query: query.reply(("A", "127.0.0.2"), truncated=not query.tcp)
    assert world.fetch() == "127.0.0.2"


def test_more_addresses_than_are_kept(world):
    world.server("127.0.0.2")
    world.names.answer = at("127.0.0.2", *(f"127.0.1.{i}" for i in range(1, 28)))
    assert world.fetch() == "127.0.0.2"


def test_new_connections_go_to_the_new_address(world):
    for address in ("127.0.0.2", "127.0.0.3", "::1"):
        world.server(address)
    for address in ("127.0.0.2", "127.0.0.3", "::1", "127.0.0.2"):
        world.names.answer = at(address)
        wait_until(lambda: world.fetch_anew() == address, f"{address} is used", PATIENCE_S)
        assert world.fetch_anew() == address


def test_one_of_two_addresses_refuses(world):
    world.server("127.0.0.2")
    world.names.answer = at("127.0.0.2", "::1")
    assert [world.fetch() for _ in range(10)] == ["127.0.0.2"] * 10
    assert world.counted("connect_failures_total") == 0


@contextlib.contextmanager
def silent(world, address):
    """Nobody answers there: the queue of who listens is full."""
    with contextlib.ExitStack() as stack, world.namespace:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = stack.enter_context(socket.socket(family))
        listener.bind((address, world.port))
        listener.listen(0)
        for _ in range(4):
            other = stack.enter_context(socket.socket(family))
            other.setblocking(False)
            other.connect_ex((address, world.port))
        yield


def test_one_of_two_addresses_is_silent(world):
    """It is passed over, and then comes last: other requests do not wait."""
    world.server("127.0.0.2")
    world.names.answer = at("127.0.0.2", "::1")  # IPv6 comes first
    with silent(world, "::1"):
        for _ in range(10):
            assert world.fetch_anew() == "127.0.0.2"
    assert world.proxy.log().count("Address of a server cannot be reached") == 1
    assert world.counted("connect_failures_total") == 0
    # When there is nobody at the other address any more it has its turn again.
    world.server("::1")
    world.names.answer = at("::1")
    wait_until(lambda: world.fetch_anew() == "::1", "the other address is used", PATIENCE_S)


def test_the_address_that_one_finds_serves_those_who_wait(world):
    """Each of them has begun with the silent one, and comes to the other when its time is over."""
    world.server("127.0.0.2")
    world.names.answer = at("127.0.0.2", "::1")

    def fetch(i):
        wait_until(lambda: world.counted("open") >= i, "those before are connecting", PATIENCE_S)
        return world.fetch()

    with silent(world, "::1"):
        assert together(4, fetch) == ["127.0.0.2"] * 4
    assert world.counted("connect_failures_total") == 0

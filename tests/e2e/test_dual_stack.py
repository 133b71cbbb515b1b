"""Which addresses an entry point listens on, and how clients of either family are named."""

import json
import socket

import pytest

from harness.client import Client
from harness.proxy import ON_TRAEFIK, one_router, servers
from harness.waiting import wait_until


def has_v6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


pytestmark = pytest.mark.skipif(not has_v6(), reason="this machine has no IPv6")


def listening(proxy, dynamic, host, suffix="", options=None, **static):
    """A proxy and the port of its entry point `other`, which listens on `host`."""
    p = proxy(dynamic, start=False, static={"entryPoints": {"other": options or {}}} | static)
    p.choose_ports()
    port = p.ports["other"]
    p.static_extra["entryPoints"]["other"]["address"] = f"{host}:{port}{suffix}"
    p.write_files()
    p.spawn()
    # It need not listen where the harness looks.
    del p.ports["other"]
    p.wait_listening()
    p.wait_version()
    return p, port


def answers(port, host):
    try:
        with Client(port, host=host) as client:
            return client.exchange().status == 200
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize(("host", "v4", "v6"), [
    ("", True, True), ("0.0.0.0", True, True), ("[::]", True, True), ("127.0.0.1", True, False), ("[::1]", False, True),
    ("[::ffff:127.0.0.1]", True, False), ("localhost", True, False)])
def test_families(upstream, proxy, host, v4, v6):
    _, port = listening(proxy, one_router(upstream().url), host)
    assert (answers(port, "127.0.0.1"), answers(port, "::1")) == (v4, v6)


def test_suffix(upstream, proxy):
    _, port = listening(proxy, one_router(upstream().url), "", "/tcp")
    assert answers(port, "127.0.0.1") and answers(port, "::1")


def test_udp(upstream, proxy):
    """No client gets there by TCP."""
    p, port = listening(proxy, one_router(upstream().url), "", "/udp")
    assert not answers(port, "127.0.0.1") and not answers(port, "::1")
    if not ON_TRAEFIK:
        p.wait_log("entryPoints.other: accepted without effect; UDP is not served yet")


def test_mapped_addresses_are_those_of_ipv4(upstream, proxy):
    """A client of IPv4 on a socket of both families: in rules, lists, headers and the log."""
    four, six = upstream(), upstream()
    routers = {"four": {"rule": "ClientIP(`127.0.0.0/8`)", "service": "four", "middlewares": ["v4"]},
               "six": {"rule": "ClientIP(`::1`)", "service": "six", "middlewares": ["v6"]}}
    middlewares = {"v4": {"ipAllowList": {"sourceRange": ["127.0.0.1"]}}, "v6": {"ipAllowList": {"sourceRange": ["::1/128"]}}}
    services = {"four": servers(four.url), "six": servers(six.url)}
    p, port = listening(proxy, {"http": {"routers": routers, "middlewares": middlewares, "services": services}}, "[::]",
                        accessLog={"format": "json", "filePath": "access.log"})
    for host, server, name, address in (("127.0.0.1", four, "127.0.0.1", "127.0.0.1:{}"), ("::1", six, "::1", "[::1]:{}")):
        with Client(port, host=host) as client:
            own = client.sock.getsockname()[1]
            assert client.exchange(target="/named").status == 200
        assert (server.last.get("X-Forwarded-For"), server.last.get("X-Real-Ip")) == (name, name)
        log = p.directory / "access.log"

        def logged():
            return [line for line in map(json.loads, log.read_text().splitlines()) if line["ClientAddr"] == address.format(own)]

        wait_until(logged, lambda: f"{address} is logged\n{log.read_text()}")
        line = logged()[0]
        assert (line["ClientHost"], line["ClientPort"]) == (name, str(own))


@pytest.mark.parametrize(("trusted", "host", "believed"), [
    ("127.0.0.1/32", "127.0.0.1", True), ("127.0.0.1/32", "::1", False), ("::1", "::1", True), ("::/0", "127.0.0.1", False),
    ("0.0.0.0/0", "::1", False)])
def test_trust_by_family(upstream, proxy, trusted, host, believed):
    server = upstream()
    _, port = listening(proxy, one_router(server.url), "", options={"forwardedHeaders": {"trustedIPs": [trusted]}})
    with Client(port, host=host) as client:
        assert client.exchange(headers=[("X-Forwarded-For", "192.0.2.7")]).status == 200
    assert server.last.get("X-Forwarded-For") == (f"192.0.2.7, {host}" if believed else host)

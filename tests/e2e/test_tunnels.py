"""Connections whose protocol was switched: what is asked for and granted, the bytes of both directions, ends, limits, and
what a tunnel does not hold: plugins, generations, idle resources."""

import json
import threading
import time

import pytest

from harness.client import request_bytes
from harness.message import Closed, head
from harness.proxy import ON_TRAEFIK, Plugin, memory_tells, one_router, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until
from test_streaming import Flood, blocks, digest

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "raw")]
SWITCH = head("HTTP/1.1 101 Switching Protocols", UPGRADE)
LARGE = 20 << 20


def asking(target="/", headers=(), **options):
    return request_bytes(target=target, headers=[*UPGRADE, *headers], **options)


def switching(then, answer=SWITCH):
    """An upstream's script: switches, then does `then(connection)`."""
    def serve(connection):
        request = connection.read_request()
        if request.get("Upgrade") is None:
            connection.send(response_bytes(body=b"ok", headers=[("Connection", "close")]))
            return
        connection.send(answer)
        then(connection)

    return serve


def read_all(connection):
    parts = []
    while data := connection.reader.buffer or connection.sock.recv(65536):
        connection.reader.buffer = b""
        parts.append(data)
    return b"".join(parts)


def echo_raw(connection):
    while data := connection.reader.buffer or connection.sock.recv(65536):
        connection.reader.buffer = b""
        connection.send(data)
    connection.sock.shutdown(1)


def switched(proxy, **options):
    client = proxy.connect(**options)
    client.send(asking())
    assert client.response().status == 101
    return client


def say(client, data):
    client.send(data)
    assert client.reader.exactly(len(data)) == data


# --- what is asked for and granted


@pytest.mark.differs("Traefik answers 500 where it cannot switch, and 101 may lack the names")
@pytest.mark.parametrize("name,fields", {
    "another protocol": [("Connection", "Upgrade"), ("Upgrade", "other")],
    "no protocol": [("Connection", "Upgrade")],
    "no Connection": [("Upgrade", "raw")],
    "two protocols": [("Connection", "Upgrade"), ("Upgrade", "raw, other")],
    "another first": [("Connection", "Upgrade"), ("Upgrade", "other"), ("Upgrade", "raw")],
    "not printable": [("Connection", "Upgrade"), ("Upgrade", "ra\xffw")],
}.items())
def test_wrong_switch_is_refused(upstream, proxy, name, fields):
    server = upstream(serve=switching(lambda connection: connection.peer_closed(), head("HTTP/1.1 101 Switching Protocols", fields)))
    with proxy(one_router(server.url)).connect() as client:
        response = client.exchange(headers=UPGRADE)
        assert (response.status, response.body) == (502, b"Bad Gateway")
        assert client.exchange().body == b"ok"


@pytest.mark.differs("Traefik answers 500")
def test_unasked_switch_is_refused(upstream, proxy):
    def serve(connection):
        connection.read_request()
        connection.send(SWITCH + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        connection.peer_closed()

    with proxy(one_router(upstream(serve=serve).url)).connect() as client:
        assert client.exchange().status == 502


def test_names_are_compared_without_case(upstream, proxy):
    answer = head("HTTP/1.1 101 Switching Protocols", [("connection", "keep-alive, UPGRADE"), ("upgrade", "RAW"), ("X-Mine", "1")])
    p = proxy(one_router(upstream(serve=switching(echo_raw, answer)).url))
    with p.connect() as client:
        client.send(asking())
        response = client.response()
        assert (response.status, response.get("Upgrade"), response.get("X-Mine")) == (101, "RAW", "1")
        say(client, b"x")


@pytest.mark.parametrize("fields", [[("Content-Length", "5")], [("Transfer-Encoding", "chunked")]])
def test_a_switch_has_no_body(upstream, proxy, fields):
    """A length that the upstream names does not reach the client, which could believe in it."""
    p = proxy(one_router(upstream(serve=switching(echo_raw, head("HTTP/1.1 101 Switching Protocols", UPGRADE + fields))).url))
    with p.connect() as client:
        client.send(asking())
        response = client.response()
        assert response.status == 101 and response.get(fields[0][0]) is None
        say(client, b"0\r\n\r\n" + b"x" * 10)


@pytest.mark.differs("Traefik does not use the upstream's connection again")
@pytest.mark.parametrize("status", [200, 400, 426, 503])
def test_refusal_is_a_usual_response(upstream, proxy, status):
    """Both connections go on with HTTP; what the client sent early is its next request and not the upstream's."""
    server = upstream(lambda connection, request: connection.send(response_bytes(
        status, headers=[("Upgrade", "raw"), ("Connection", "Upgrade")], body=request.target.encode())))
    p = proxy(one_router(server.url))
    with p.connect() as client:
        client.send(asking("/first") + request_bytes(target="/second"))
        for target in (b"/first", b"/second"):
            response = client.response()
            assert (response.status, response.body, response.get("Upgrade"), response.get("Connection")) == (status, target, None, None)
    first, second = server.wait_requests(2)
    assert (first.get("Upgrade"), second.get("Upgrade"), second.get("Connection")) == ("raw", None, None)
    assert first.connection == second.connection


@pytest.mark.differs("Go's proxy loses them")
def test_early_bytes_wait_for_the_switch(upstream, proxy):
    """Were they passed on before, the upstream could read them as a request that the proxy has not seen."""
    release, early = threading.Event(), request_bytes(target="/smuggled")

    def serve(connection):
        connection.read_request()
        connection.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.sock.recv(1)
        connection.sock.settimeout(60)
        connection.send(SWITCH)
        assert connection.reader.exactly(len(early)) == early
        release.set()

    with proxy(one_router(upstream(serve=serve).url)).connect() as client:
        client.send(asking() + early)
        assert client.response().status == 101
        assert release.wait(30)


def test_bytes_behind_the_switch(upstream, proxy):
    data = b"".join(blocks(100000))

    def then(connection):
        connection.send(b"")
        connection.peer_closed()

    with proxy(one_router(upstream(serve=switching(then, SWITCH + data)).url)).connect() as client:
        client.send(asking())
        assert client.response().status == 101
        assert client.reader.exactly(len(data)) == data


@pytest.mark.differs("Go's proxy loses the early bytes")
def test_request_with_a_body(upstream, proxy):
    server = upstream(serve=switching(echo_raw))
    with proxy(one_router(server.url)).connect() as client:
        client.send(request_bytes("POST", headers=UPGRADE, body=b"body") + b"early")
        assert client.response().status == 101
        assert client.reader.exactly(5) == b"early"
    assert server.last.body == b"body"


@pytest.mark.differs("Go's server switches in the middle of a request")
def test_switch_before_the_end_of_the_request(upstream, proxy):
    """The rest of the body would be taken for the tunnel's first bytes."""
    def serve(connection):
        connection.record(connection.read_head())
        connection.send(SWITCH)
        connection.peer_closed()

    with proxy(one_router(upstream(serve=serve).url)).connect() as client:
        client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", "10"), *UPGRADE]) + b"12345")
        assert client.response().status == 502


@pytest.mark.differs("Traefik answers 500")
def test_protocol_that_cannot_be_named(relay):
    p, server = relay
    with p.connect() as client:
        client.send(request_bytes(headers=[("Connection", "Upgrade")])[:-2] + b"Upgrade: ra\xc3\xa9w\r\n\r\n")
        assert client.response().status == 400
    assert server.requests == []


@pytest.mark.differs("Traefik passes it on")
def test_old_clients_cannot_switch(relay):
    """RFC 9110 section 7.8."""
    p, server = relay
    with p.connect() as client:
        assert client.exchange(headers=UPGRADE, version="1.0").status == 200
    assert server.last.get("Upgrade") is None


# --- bytes and ends


def test_both_directions_at_once(upstream, proxy):
    p = proxy(one_router(upstream(serve=switching(echo_raw)).url))
    client = switched(p)

    def send():
        for block in blocks(LARGE):
            client.send(block)
        client.end_of_input()

    threading.Thread(target=send, daemon=True).start()
    assert digest([client.to_end()]) == digest(blocks(LARGE))
    client.close()


def test_end_of_the_client_leaves_the_other_direction(upstream, proxy):
    def then(connection):
        assert read_all(connection) == b"question"
        for block in blocks(LARGE):
            connection.send(block)

    client = switched(proxy(one_router(upstream(serve=switching(then)).url)))
    client.send(b"question")
    client.end_of_input()
    assert digest([client.to_end()]) == digest(blocks(LARGE))
    client.close()


def test_end_of_the_upstream_leaves_the_other_direction(upstream, proxy):
    got = []

    def then(connection):
        connection.send(b"answer")
        connection.sock.shutdown(1)
        got.append(digest([read_all(connection)]))

    server = upstream(serve=switching(then))
    client = switched(proxy(one_router(server.url)))
    assert client.to_end() == b"answer"
    for block in blocks(LARGE):
        client.send(block)
    client.end_of_input()
    wait_until(lambda: got == [digest(blocks(LARGE))], "all of it arrives", 60)
    client.close()


@pytest.mark.differs("Go's proxy ends in order what was cut off")
def test_upstream_resets(upstream, proxy):
    """The client does not take it for an end."""
    client = switched(proxy(one_router(upstream(serve=switching(lambda connection: (connection.reader.exactly(1), connection.reset()))).url)))
    client.send(b"x")
    with pytest.raises(Closed) as closed:
        client.to_end()
    assert closed.value.reset


@pytest.mark.differs("Go's proxy ends in order what was cut off")
def test_client_resets(upstream, proxy):
    ended = []

    def then(connection):
        try:
            read_all(connection)
            ended.append("end")
        except ConnectionResetError:
            ended.append("reset")

    client = switched(proxy(one_router(upstream(serve=switching(then)).url)))
    client.reset()
    wait_until(lambda: ended, "the upstream notices")
    assert ended == ["reset"]


@pytest.mark.parametrize("count", [1, 20])
def test_slow_client_holds_the_upstream_back(upstream, proxy, count):
    floods = []

    def then(connection):
        flood = Flood(connection.send)
        floods.append(flood)
        flood.run()

    p = proxy(one_router(upstream(serve=switching(then)).url))
    p.fetch()
    before = p.pss_bytes
    clients = [switched(p, receive_buffer=65536) for _ in range(count)]
    wait_until(lambda: len(floods) == count and all(f.stalls() for f in floods), "back-pressure", 60)
    assert not memory_tells() or p.pss_bytes - before < (16 << 20) + count * (1 << 20)
    assert all(flood.sent < 64 << 20 for flood in floods)
    assert p.fetch().body == b"ok"
    for flood in floods:
        flood.stopped.set()
    for client in clients:
        client.reset()


@pytest.mark.parametrize("count", [1, 20])
def test_slow_upstream_holds_the_client_back(upstream, proxy, count):
    release = threading.Event()
    p = proxy(one_router(upstream(serve=switching(lambda connection: release.wait(90))).url))
    p.fetch()
    before = p.pss_bytes
    clients = [switched(p) for _ in range(count)]
    floods = [Flood(client.send) for client in clients]
    for flood in floods:
        threading.Thread(target=flood.run, daemon=True).start()
    wait_until(lambda: all(f.stalls() for f in floods), "back-pressure", 60)
    assert not memory_tells() or p.pss_bytes - before < (16 << 20) + count * (1 << 20)
    assert p.fetch().body == b"ok"
    release.set()
    for flood in floods:
        flood.stopped.set()
    for client in clients:
        client.reset()


# --- what a tunnel holds


def numbers(p):
    m = p.scrape()
    return {name: m.sum(f"weir_{name}") for name in (
        "config_generations_live", "exchanges_tunnels_live", "entrypoint_tunnels_open", "entrypoint_tunnel_timeouts_total")}


def only(p, **wanted):
    wait_until(lambda: all(numbers(p)[name] == n for name, n in wanted.items()), lambda: f"{wanted}, found {numbers(p)}")


@pytest.mark.differs("weir's metrics")
def test_a_tunnel_outlives_its_configuration(upstream, proxy):
    """Its router, its server and its service are gone, their memory too, and the bytes still flow."""
    other = upstream()
    p = proxy(one_router(upstream(serve=switching(echo_raw)).url), metrics=True)
    client = switched(p)
    say(client, b"before")
    for i in range(3):
        p.apply({"http": {"routers": {f"new{i}": {"rule": "PathPrefix(`/`)", "service": "s2"}}, "services": {"s2": servers(other.url)}}})
    only(p, config_generations_live=1, exchanges_tunnels_live=1, entrypoint_tunnels_open=1)
    say(client, b"after")
    assert p.fetch().body == b"ok"
    client.close()
    only(p, exchanges_tunnels_live=0, entrypoint_tunnels_open=0)


@pytest.mark.parametrize("plugin,config", [
    ("header", {}), ("after", {"features": 0, "call": "get_status"}), ("after", {"features": 2, "call": "set_status"}), ("rewrite-buffered", {}), ("body", {"features": 3, "response": "rewrite"})])
@pytest.mark.differs("weir's metrics")
def test_a_tunnel_gives_its_plugin_back(upstream, proxy, plugin, config):
    p = proxy(one_router(upstream(serve=switching(echo_raw)).url, plugin={"p": config}), plugins={"p": Plugin(plugin)},
              static={"weir": {"workers": 1, "plugins": {"defaults": {"instances": 1, "queueTimeout": "200ms"}}}})
    clients = [switched(p) for _ in range(3)]  # of one instance
    m = p.scrape()
    assert (m.value("weir_plugin_in_use", plugin="p"), m.value("weir_plugin_live", plugin="p")) == (0, 1)
    p.apply({"http": {"routers": {}}})
    only(p, config_generations_live=1, exchanges_tunnels_live=3)
    wait_until(lambda: p.scrape().value("weir_plugin_live", plugin="p", default=0) == 0, "the plugin's instances go", 30)
    for client in clients:
        say(client, b"still here")
        client.close()


def test_in_flight_counts_tunnels(upstream, proxy):
    dynamic = one_router(upstream(serve=switching(echo_raw)).url, middlewares=["few"])
    dynamic["http"]["middlewares"] = {"few": {"inFlightReq": {"amount": 2}}}
    p = proxy(dynamic)
    clients = [switched(p) for _ in range(2)]
    assert p.fetch().status == 429
    if not ON_TRAEFIK:  # which forgets with each new configuration who is in flight
        p.apply(dynamic)
        assert p.fetch().status == 429
    clients[0].close()
    wait_until(lambda: p.fetch().status == 200, "the place is free")
    clients[1].close()


@pytest.mark.differs("Traefik counts 0 as the code and no bytes")
def test_metrics(upstream, proxy):
    p = proxy(one_router(upstream(serve=switching(echo_raw)).url), static={"metrics": {"prometheus": {"addRoutersLabels": True}}}, metrics=True)
    client = switched(p)
    say(client, b"12345")
    client.end_of_input()
    assert client.to_end() == b""
    client.close()
    only(p, exchanges_tunnels_live=0)
    m = p.scrape()
    labels = {"code": "101", "method": "GET", "protocol": "http"}
    of = {"entrypoint": {"entrypoint": "web"}, "router": {"router": "r@file", "service": "s@file"}, "service": {"service": "s@file"}}
    for kind, more in of.items():
        assert m.value(f"traefik_{kind}_requests_total", **labels, **more) == 1
        assert m.value(f"traefik_{kind}_requests_bytes_total", **labels, **more) == 5
        assert m.value(f"traefik_{kind}_responses_bytes_total", **labels, **more) == 5
    assert m.value("weir_entrypoint_tunnels_total", entrypoint="web") == 1
    assert m.value("weir_upstream_switched_total") == 1


@pytest.mark.differs("Traefik says 0 for the status and the bytes")
def test_access_log(upstream, proxy):
    """Also of a tunnel whose configuration has gone meanwhile."""
    p = proxy(one_router(upstream(serve=switching(echo_raw)).url), static={"accessLog": {"filePath": "access.log", "format": "json"}}, metrics=True)
    client = switched(p)
    say(client, b"12345")
    p.apply({"http": {}})
    only(p, config_generations_live=1)
    client.close()

    def line():
        lines = map(json.loads, (p.directory / "access.log").read_text().splitlines())
        return [line for line in lines if line.get("RouterName") == "r@file" and line["RequestHost"] == "test.example"]

    wait_until(line, "the line is written")
    (found,) = line()
    wanted = {"DownstreamStatus": 101, "OriginStatus": 101, "RequestContentSize": 5, "DownstreamContentSize": 5, "ServiceName": "s@file"}
    assert wanted.items() <= found.items()


@pytest.mark.differs("weir's options")
@pytest.mark.parametrize("limits,half", [({"tunnelIdle": "300ms"}, False), ({"tunnelHalfClosed": "300ms"}, True)])
def test_silence_ends_a_tunnel(upstream, proxy, limits, half):
    ended = threading.Event()

    def then(connection):
        if half:
            assert read_all(connection) == b""
        else:
            assert connection.peer_closed(60)
        assert ended.wait(60)

    p = proxy(one_router(upstream(serve=switching(then)).url), static={"weir": {"limits": limits}}, metrics=True)
    client = switched(p)
    if half:
        client.end_of_input()
    with pytest.raises(Closed):
        client.to_end()
    only(p, exchanges_tunnels_live=0, entrypoint_tunnel_timeouts_total=1)
    ended.set()
    client.close()


@pytest.mark.differs("weir's options")
def test_bytes_keep_a_tunnel_alive(upstream, proxy):
    p = proxy(one_router(upstream(serve=switching(echo_raw)).url), static={"weir": {"limits": {"tunnelIdle": "2s"}}})
    client = switched(p)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        say(client, b"x")
        time.sleep(0.05)
    client.close()


def test_time_outs_of_requests_are_none_of_a_tunnel(upstream, proxy):
    """Go clears all deadlines of a connection that is handed over."""
    p = proxy(one_router(upstream(serve=switching(echo_raw)).url), static={"entryPoints": {"web": {"transport": {
        "respondingTimeouts": {"readTimeout": "300ms", "writeTimeout": "300ms", "idleTimeout": "300ms"}}}}})
    client = switched(p)
    time.sleep(1)
    say(client, b"still here")
    client.close()


def test_stop_closes_tunnels_after_the_grace(upstream, proxy):
    p = proxy(one_router(upstream(serve=switching(echo_raw)).url),
              static={"entryPoints": {"web": {"transport": {"lifeCycle": {"graceTimeOut": "1s"}}}}})
    client = switched(p)
    p.terminate()
    say(client, b"still here")
    assert client.reader.to_end() == b""
    assert p.wait_exit(15) == 0
    client.close()


def test_stop_waits_for_tunnels(upstream, proxy):
    p = proxy(one_router(upstream(serve=switching(echo_raw)).url))
    client = switched(p)
    p.terminate()
    say(client, b"still here")
    client.end_of_input()
    assert client.to_end() == b""
    assert p.wait_exit(15) == 0
    client.close()

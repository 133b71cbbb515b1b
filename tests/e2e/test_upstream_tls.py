"""Servers with https: whom weir believes, what it shows of itself, and what clients get when there is no agreement."""

import os
import ssl
import threading

import pytest

from harness.certificates import Authority
from harness.message import Closed
from harness.proxy import ON_TRAEFIK, merge, servers
from harness.tls import server_context
from harness.upstream import response_bytes
from harness.waiting import wait_until

V = ssl.TLSVersion


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("clients"), "clients")


@pytest.fixture(scope="module")
def good(ca):
    return ca.issue("server", "DNS:localhost", "IP:127.0.0.1", "URI:spiffe://example/server")


def site(url, transport=None, name="t"):
    """A router to the server, by this transport; the default one without."""
    service = servers(url)
    http = {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}}, "services": {"s": service}}
    if transport is not None:
        service["loadBalancer"]["serversTransport"] = name
        http["serversTransports"] = {name: transport}
    return {"http": http}


ONE_WORKER = None if ON_TRAEFIK else {"weir": {"workers": 1}}


def believing(ca, **others):
    return {"rootCAs": [str(ca.file)]} | others


def test_believed_server(upstream, proxy, ca, good):
    server = upstream(tls=server_context(good))
    p = proxy(site(server.url, believing(ca)))
    with p.connect() as client:
        for _ in range(5):
            assert client.exchange().body == b"ok"
    assert server.last.get("Host") == "test.example"
    assert server.accepted == 1


def test_name_is_asked_for(upstream, proxy, ca, good):
    asked = []
    context = server_context(good)
    context.sni_callback = lambda sock, name, context: asked.append(name)
    server = upstream(tls=context)
    p = proxy(site(f"https://localhost:{server.port}", believing(ca)), static=ONE_WORKER)
    assert p.fetch().status == 200
    p.apply(site(server.url, believing(ca)))
    assert p.fetch().status == 200
    p.apply(site(server.url, believing(ca, serverName="localhost")))
    assert p.fetch().status == 200
    assert asked == ["localhost", None, "localhost"]


@pytest.fixture(scope="module")
def bad_servers(tmp_path_factory, ca):
    stranger = Authority(tmp_path_factory.mktemp("stranger"), "stranger")
    return {"unknown authority": stranger.issue("server", "IP:127.0.0.1"), "expired": ca.issue("server", "IP:127.0.0.1", days=-1),
            "wrong name": ca.issue("server", "DNS:other.example"), "name in the subject only": ca.issue("127.0.0.1", "DNS:x.example")}


@pytest.mark.parametrize("fault", ["unknown authority", "expired", "wrong name", "name in the subject only"])
def test_server_that_is_not_believed(upstream, proxy, ca, bad_servers, fault):
    server = upstream(tls=server_context(bad_servers[fault]))
    p = proxy(site(server.url, believing(ca)))
    response = p.fetch()
    assert (response.status, response.body) == (500, b"Internal Server Error")
    assert server.requests == []
    p.apply(site(server.url, {"insecureSkipVerify": True}))
    assert p.fetch().status == 200


def test_default_transport_believes_the_system(upstream, proxy, good):
    server = upstream(tls=server_context(good))
    p = proxy(site(server.url))
    assert p.fetch().status == 500
    assert server.requests == []


def test_static_transport(upstream, proxy, ca, good, bad_servers):
    server, bad = upstream(tls=server_context(good)), upstream(tls=server_context(bad_servers["unknown authority"]))
    p = proxy(site(server.url), static={"serversTransport": {"rootCAs": [str(ca.file)]}})
    assert p.fetch().status == 200
    p.apply(site(bad.url))
    assert p.fetch().status == 500
    careless = proxy(site(bad.url), static={"serversTransport": {"insecureSkipVerify": True}})
    assert careless.fetch().status == 200


def test_name_is_that_of_the_option(upstream, proxy, ca, bad_servers):
    server = upstream(tls=server_context(bad_servers["wrong name"]))
    p = proxy(site(server.url, believing(ca, serverName="other.example")))
    assert p.fetch().status == 200


@pytest.mark.parametrize("version", [V.TLSv1_2, V.TLSv1_3])
def test_client_certificate(upstream, proxy, ca, clients, good, version):
    server = upstream(tls=server_context(good, clients=clients, minimum=version, maximum=version))
    mine, other = clients.issue("mine"), ca.issue("other")
    p = proxy(site(server.url, believing(ca)), static=ONE_WORKER)
    assert p.fetch().status == 502
    p.apply(site(server.url, believing(ca, certificates=[mine.pair])))
    assert p.fetch().status == 200
    p.apply(site(server.url, believing(ca, certificates=[other.pair])))
    assert p.fetch().status == 502


def test_client_certificate_that_is_asked_for(upstream, proxy, ca, clients, good):
    """Of two the one whose authority the server names; the server is another proxy of the same kind."""
    mine, other = clients.issue("mine"), ca.issue("other")
    tls = {"certificates": [good.pair], "options": {"default": {"clientAuth": {"caFiles": [str(clients.file)]}}}}
    backend = proxy({"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s", "tls": {}}},
                              "services": {"s": servers(upstream().url)}}, "tls": tls})
    p = proxy(site(f"https://127.0.0.1:{backend.port}", believing(ca, certificates=[other.pair, mine.inline])))
    assert p.fetch().status == 200
    p.apply(site(f"https://127.0.0.1:{backend.port}", believing(ca, certificates=[other.pair])))
    assert p.fetch().status == 502


def test_uri_of_the_certificate(upstream, proxy, ca, good, bad_servers):
    server, bad = upstream(tls=server_context(good)), upstream(tls=server_context(bad_servers["unknown authority"]))
    p = proxy(site(server.url, believing(ca, peerCertURI="spiffe://example/server")))
    assert p.fetch().status == 200
    p.apply(site(server.url, believing(ca, peerCertURI="spiffe://example/other")))
    assert p.fetch().status == 500
    p.apply(site(bad.url, believing(ca, peerCertURI="spiffe://example/server", insecureSkipVerify=True)))
    assert p.fetch().status == 500


def test_versions_and_ciphers(upstream, proxy, ca, good):
    server = upstream(tls=server_context(good, maximum=V.TLSv1_2))
    cipher = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    p = proxy(site(server.url, believing(ca, minVersion="VersionTLS12", maxVersion="VersionTLS12", cipherSuites=[cipher])))
    assert p.fetch().status == 200
    p.apply(site(server.url, believing(ca, minVersion="VersionTLS13", maxVersion="VersionTLS13")))
    assert p.fetch().status in (500, 502)


def test_server_without_tls(upstream, proxy):
    def serve(connection):
        connection.sock.recv(100)
        connection.send(response_bytes(400))

    server = upstream(serve=serve)
    p = proxy(site(f"https://127.0.0.1:{server.port}"))
    assert p.fetch().status == 500


GARBAGE = {
    "nothing": b"",
    "zeros": bytes(1000),
    "a record without end": b"\x16\x03\x03\xff\xff" + bytes(100),
    "an empty record": b"\x16\x03\x03\x00\x00",
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "a hello of nothing": b"\x16\x03\x03\x00\x04\x02\x00\x00\x00",
    "data instead": b"\x17\x03\x03\x00\x05hello",
    "a long message": b"\x16\x03\x03\x40\x00\x02\xff\xff\xff" + bytes(16380),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_server_that_makes_no_sense(upstream, proxy, what):
    """And the next request is answered all the same."""
    def serve(connection):
        connection.sock.recv(4096)
        connection.send(GARBAGE[what])

    server, good = upstream(serve=serve), upstream()
    dynamic = merge(site(f"https://127.0.0.1:{server.port}"),
                    {"http": {"routers": {"good": {"rule": "Host(`good.example`)", "service": "g"}}, "services": {"g": servers(good.url)}}})
    p = proxy(dynamic)
    for _ in range(2):
        assert p.fetch().status in (500, 502)
    assert p.fetch(host="good.example").status == 200


def test_server_that_ends_during_the_handshake(upstream, proxy):
    server = upstream(serve=lambda connection: connection.sock.recv(1))
    p = proxy(site(f"https://127.0.0.1:{server.port}"))
    assert p.fetch().status == 502


@pytest.mark.differs("Traefik waits ten seconds, always")
def test_silent_server(upstream, proxy):
    server = upstream(serve=lambda connection: connection.reader.to_end())
    p = proxy(site(f"https://127.0.0.1:{server.port}"), static={"weir": {"limits": {"upstreamHandshake": "200ms"}}}, metrics=True)
    assert p.fetch().status == 504
    wait_until(lambda: p.scrape().value("weir_upstream_tls_failures_total") == 1, lambda: "the failure is counted")


@pytest.mark.differs("Traefik makes a full handshake each time")
@pytest.mark.parametrize("version", [V.TLSv1_2, V.TLSv1_3])
def test_sessions_are_resumed(upstream, proxy, ca, good, version):
    def once(connection, request):
        connection.send(response_bytes(headers=(("Connection", "close"),), body=b"ok"))

    server = upstream(once, serve=None, tls=server_context(good, minimum=version, maximum=version))
    p = proxy(site(server.url, believing(ca)), static={"weir": {"workers": 1}}, metrics=True)
    for _ in range(4):
        assert p.fetch().body == b"ok"
    wait_until(lambda: server.handshakes == [False, True, True, True], lambda: f"{server.handshakes}")
    wait_until(lambda: p.scrape().value("weir_upstream_tls_resumed_total") == 3, lambda: "resumptions are counted")


@pytest.mark.differs("Traefik makes a full handshake each time")
def test_sessions_do_not_pass_to_another_trust(upstream, proxy, ca, good, tmp_path):
    """What one transport has believed another must see for itself."""
    other = Authority(tmp_path / "other", "other")
    server = upstream(tls=server_context(good))
    p = proxy(site(server.url, believing(ca)), static={"weir": {"workers": 1}})
    assert p.fetch().status == 200
    p.apply(site(server.url, believing(other)))
    assert p.fetch().status == 500


def test_bodies_both_ways(upstream, proxy, ca, good):
    """Larger than any buffer, whatever the records look like."""
    sizes = (1, 16383, 16384, 16385, 1 << 20, 5 << 20)

    def echo(connection, request):
        connection.send(response_bytes(chunks=[request.body[i:i + 50000] for i in range(0, len(request.body), 50000)]))

    server = upstream(echo, tls=server_context(good))
    p = proxy(site(server.url, believing(ca)))
    for size in sizes:
        body = os.urandom(size)
        assert p.fetch("POST", body=body).body == body
    assert server.accepted <= 4


def test_cut_answer_is_not_taken_for_a_whole_one(upstream, proxy, ca, good):
    def cut(connection, request):
        connection.send(response_bytes(headers=(("Content-Length", "100"),), body=b"")[:-2] + b"\r\nhalf")
        connection.close()

    server = upstream(cut, tls=server_context(good))
    p = proxy(site(server.url, believing(ca)))
    with pytest.raises(Closed):
        p.fetch()


@pytest.mark.parametrize("said", [False, True])
def test_answer_without_a_length_ends_with_the_connection(upstream, proxy, ca, good, said):
    """Servers that do not say their end are many, so Go takes that for one, and weir."""
    def answer(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nwhole")
        if said:
            connection.sock.unwrap()
        connection.close()

    server = upstream(answer, tls=server_context(good))
    p = proxy(site(server.url, believing(ca)))
    assert p.fetch().body == b"whole"


def test_server_that_closes_idle_connections(upstream, proxy, ca, good):
    def serve(connection):
        connection.read_request()
        connection.send(response_bytes(body=b"ok"))
        connection.sock.unwrap()

    server = upstream(serve=serve, tls=server_context(good))
    p = proxy(site(server.url, believing(ca)))
    for _ in range(5):
        assert p.fetch().status == 200


def test_transports_have_their_own_connections(upstream, proxy, ca, good):
    server = upstream(tls=server_context(good))
    dynamic = site(server.url, believing(ca))
    other = {"http": {"routers": {"o": {"rule": "Host(`other.example`)", "service": "o"}},
                      "services": {"o": merge(servers(server.url), {"loadBalancer": {"serversTransport": "careless"}})},
                      "serversTransports": {"careless": {"insecureSkipVerify": True}}}}
    p = proxy(merge(dynamic, other), static=ONE_WORKER)
    for _ in range(3):
        assert p.fetch().status == 200
        assert p.fetch(host="other.example").status == 200
    assert server.accepted == 2
    p.apply(merge(merge(dynamic, other), {"http": {"routers": {"more": {"rule": "Host(`x`)", "service": "o"}}}}))
    assert p.fetch().status == 200
    assert server.accepted == 2


@pytest.mark.differs("Traefik reads authorities when something else changes, and falls back on its default transport")
def test_replaced_authority(upstream, proxy, ca, good, tmp_path):
    file = tmp_path / "roots.pem"
    other = Authority(tmp_path / "other", "other")
    file.write_text(ca.file.read_text())
    server, next_ = upstream(tls=server_context(good)), upstream(tls=server_context(other.issue("server", "IP:127.0.0.1")))
    dynamic = site(server.url, {"rootCAs": [str(file)]})
    dynamic["http"]["services"]["n"] = merge(servers(next_.url), {"loadBalancer": {"serversTransport": "t"}})
    dynamic["http"]["routers"]["n"] = {"rule": "Host(`next.example`)", "service": "n"}
    p = proxy(dynamic, static={"weir": {"workers": 1}})
    assert (p.fetch().status, p.fetch(host="next.example").status) == (200, 500)
    file.write_text("nothing")
    p.wait_log("Servers transport goes on as it was", "invalid certificate(s) in")
    assert (p.fetch().status, p.fetch(host="next.example").status) == (200, 500)
    file.write_text(other.file.read_text())
    wait_until(lambda: p.fetch(host="next.example").status == 200, lambda: p.log(), 30)
    assert p.fetch().status == 500


@pytest.mark.differs("Traefik falls back on its default transport")
def test_transport_that_cannot_be_disables_its_services(upstream, proxy):
    server = upstream()
    p = proxy(site(f"https://127.0.0.1:{server.port}", {"rootCAs": ["/nowhere.pem"]}))
    assert p.fetch().status == 404
    p.wait_log("servers transport", "rootCAs: /nowhere.pem: No such file or directory")


def test_many_at_once(upstream, proxy, ca, good):
    server = upstream(tls=server_context(good))
    p = proxy(site(server.url, believing(ca)))
    failures = []

    def work():
        with p.connect() as client:
            for _ in range(20):
                if client.exchange().body != b"ok":
                    failures.append("not ok")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == [] and not any(thread.is_alive() for thread in threads)

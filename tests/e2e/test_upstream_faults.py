"""Upstreams that refuse, stall, lie, break off or vanish."""

import signal
import subprocess
import sys
import threading

import pytest

from harness.client import request_bytes
from harness.load import together
from harness.message import Closed, chunked, head
from harness.ports import free_port
from harness.proxy import merge, one_router, servers
from harness.upstream import Upstream, response_bytes
from harness.waiting import wait_until


def plain(response):
    return response.status, response.body.strip()


BAD_GATEWAY = (502, b"Bad Gateway")
INTERNAL_ERROR = (500, b"Internal Server Error")
GATEWAY_TIMEOUT = (504, b"Gateway Timeout")


def test_nobody_listens(proxy):
    p = proxy(one_router(f"http://127.0.0.1:{free_port()}"))
    with p.connect() as client:
        for _ in range(2):
            assert plain(client.exchange("POST", body=b"x" * 100000)) == BAD_GATEWAY


def test_unresolvable_name(proxy):
    assert plain(proxy(one_router("http://does-not-exist.invalid:80")).fetch()) == BAD_GATEWAY


def faulty(behaviour):
    """Serves like `behaviour` for requests to /fault and properly otherwise."""

    def serve(connection):
        while True:
            request = connection.record(connection.read_head())
            if request.target != "/fault":
                connection.reader.body(request, is_response=False)
                connection.send(response_bytes(body=b"fine"))
                continue
            behaviour(connection, request)
            return

    return serve


def send_and_close(data):
    return lambda connection, request: connection.send(data)


WITHOUT_A_BYTE = {"closes": send_and_close(b""), "resets": lambda connection, request: connection.reset()}


@pytest.mark.parametrize("case", WITHOUT_A_BYTE)
def test_upstream_ends_without_a_byte(upstream, proxy, case):
    p = proxy(one_router(upstream(serve=faulty(WITHOUT_A_BYTE[case])).url))
    with p.connect() as client:
        assert plain(client.exchange("POST", "/fault", body=b"x")) == BAD_GATEWAY
        assert client.exchange("GET", "/fine").body == b"fine"


BEFORE_THE_RESPONSE = {
    "closes within the head": send_and_close(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "resets within the head": lambda connection, request: (connection.send(b"HTTP/1.1 200 OK\r\n"), connection.reset()),
    "talks garbage": send_and_close(b"\x00\x01\x02garbage\r\n\r\n"),
    "status is no number": send_and_close(b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
    "malformed field": send_and_close(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
    "two lengths": send_and_close(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "bad length": send_and_close(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab"),
    "unknown coding": send_and_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\n\r\nab"),
}


@pytest.mark.parametrize("case", BEFORE_THE_RESPONSE)
def test_fault_before_the_response(upstream, proxy, case):
    p = proxy(one_router(upstream(serve=faulty(BEFORE_THE_RESPONSE[case])).url))
    with p.connect() as client:
        # Traefik calls what is not a failure of the network an internal error.
        assert plain(client.exchange("POST", "/fault", body=b"x")) in (BAD_GATEWAY, INTERNAL_ERROR)
        assert client.exchange("GET", "/fine").body == b"fine"


@pytest.mark.differs("Traefik answers 101 it did not ask for with 500")
def test_unasked_switch_of_protocols(upstream, proxy):
    p = proxy(one_router(upstream(serve=faulty(send_and_close(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"))).url))
    assert plain(p.fetch(target="/fault")) == BAD_GATEWAY


@pytest.mark.differs("Go's client takes a longer list of heads than it should")
def test_huge_response_head(upstream, proxy):
    data = head("HTTP/1.1 200 OK", [(f"X-{i}", "x" * 60000) for i in range(200)])

    def serve(connection):
        connection.record(connection.read_head())
        connection.send(data)

    assert plain(proxy(one_router(upstream(serve=serve).url)).fetch()) == BAD_GATEWAY


HALF_WITH_LENGTH = head("HTTP/1.1 200 OK", [("Content-Length", "100")]) + b"half"
HALF_CHUNKED = head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")]) + b"4\r\nhalf\r\n"
WITHIN_THE_BODY = {
    "length, closes": (HALF_WITH_LENGTH, lambda connection: None),
    "length, resets": (HALF_WITH_LENGTH, lambda connection: connection.reset()),
    "chunked, closes": (HALF_CHUNKED, lambda connection: None),
    "chunked, resets": (HALF_CHUNKED, lambda connection: connection.reset()),
    "chunked, garbage": (HALF_CHUNKED, lambda connection: connection.send(b"xyz\r\n")),
}


@pytest.mark.parametrize("case", WITHIN_THE_BODY)
def test_fault_within_the_body(upstream, proxy, case):
    """The client must be able to tell that the response is not whole."""
    data, fault = WITHIN_THE_BODY[case]
    client_has_part = threading.Event()

    def behaviour(connection, request):
        connection.send(data)
        assert client_has_part.wait(15), "the first half is held back"
        fault(connection)

    p = proxy(one_router(upstream(serve=faulty(behaviour)).url))
    with p.connect() as client:
        client.send(request_bytes(target="/fault"))
        response = client.reader.head()
        assert response.status == 200
        client_has_part_bytes = b""
        with pytest.raises(Closed):
            if response.all("Transfer-Encoding"):
                for chunk in client.reader.chunks():
                    client_has_part_bytes += chunk
                    client_has_part.set()
            else:
                client_has_part_bytes = client.reader.exactly(4)
                client_has_part.set()
                client.reader.exactly(96)
        assert client_has_part_bytes == b"half"
    assert p.fetch(target="/fine").body == b"fine"


def test_upstream_dies_while_it_gets_the_body(upstream, proxy):
    def serve(connection):
        connection.record(connection.read_head())
        connection.reader.exactly(1000)
        connection.reset()

    p = proxy(one_router(upstream(serve=serve).url))
    with p.connect() as client:
        client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", str(1 << 20))]))
        try:
            client.send(b"x" * (1 << 20))
            assert plain(client.response()) == BAD_GATEWAY
        except (Closed, ConnectionError):
            pass  # the proxy may close while we still send
    assert p.running


def timeouts(**forwarding):
    return {"serversTransport": {"forwardingTimeouts": forwarding}}


def test_response_header_timeout(upstream, proxy):
    release = threading.Event()

    def answer(connection, request):
        release.wait(15)

    p = proxy(one_router(upstream(answer).url), static=timeouts(responseHeaderTimeout="200ms"))
    with p.connect() as client:
        assert plain(client.exchange()) == GATEWAY_TIMEOUT
    release.set()


def test_named_servers_transport(upstream, proxy):
    release = threading.Event()
    server = upstream(lambda connection, request: release.wait(15))
    dynamic = merge(one_router(server.url), {"http": {
        "services": {"s": {"loadBalancer": {"serversTransport": "t"}}},
        "serversTransports": {"t": {"forwardingTimeouts": {"responseHeaderTimeout": "200ms"}}}}})
    assert plain(proxy(dynamic).fetch()) == GATEWAY_TIMEOUT
    release.set()


def test_dial_timeout(proxy):
    """A listener whose backlog is full never completes the handshake."""
    import socket

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        fillers.append(filler)
    p = proxy(one_router(f"http://127.0.0.1:{port}"), static=timeouts(dialTimeout="300ms"))
    assert plain(p.fetch()) == GATEWAY_TIMEOUT
    for open_socket in [listener, *fillers]:
        open_socket.close()


# --- left out

def held(p):
    metrics = p.scrape()
    return [metrics.value(f"weir_upstream_{name}_total") for name in ("holds", "passed_over")]


def statuses(p, count):
    return [p.fetch().status for _ in range(count)]


def test_server_that_refuses_is_left_out(upstream, proxy):
    """Every second turn is its own: requests fail when it is tried, and only then."""
    port = free_port()
    p = proxy({"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}}, "services": {"s": servers(upstream().url, f"http://127.0.0.1:{port}")}}},
              metrics=True, static={"weir": {"workers": 2}})
    found = statuses(p, 40)
    assert set(found) == {200, 502}
    holds, passed_over = held(p)
    assert found.count(502) == holds <= 8 and holds + passed_over == 20
    p.wait_log("Server cannot be reached and is left out if others can serve")
    late = upstream(port=port)
    wait_until(lambda: p.fetch().status == 200 and len(late.requests) > 0, "the server is tried again", 30)
    p.wait_log("Server answers again")
    before, seen = held(p), len(late.requests)
    assert statuses(p, 20) == [200] * 20
    assert held(p) == before and len(late.requests) == seen + 10


def test_server_without_others_is_always_asked(upstream, proxy):
    """Nor does it matter how often all have refused before."""
    ports = [free_port(), free_port()]
    p = proxy({"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}, "one": {"rule": "Path(`/one`)", "service": "one"}},
                        "services": {"s": servers(*(f"http://127.0.0.1:{port}" for port in ports)), "one": servers(f"http://127.0.0.1:{ports[0]}")}}}, metrics=True)
    assert statuses(p, 12) == [502] * 12
    late = upstream(port=ports[0])
    assert p.fetch(target="/one").status == 200
    assert len(late.requests) == 1


def test_hold_can_be_turned_off(upstream, proxy):
    p = proxy({"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}}, "services": {"s": servers(upstream().url, f"http://127.0.0.1:{free_port()}")}}},
              metrics=True, static={"weir": {"limits": {"upstreamHold": "0s"}}})
    assert statuses(p, 12).count(502) == 6
    assert held(p) == [0, 0]


def test_server_that_answers_errors_is_not_left_out(upstream, proxy):
    """What has been reached keeps its turns, whatever it says."""
    broken = upstream(serve=lambda connection: connection.reset())
    p = proxy({"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}}, "services": {"s": servers(upstream().url, broken.url)}}}, metrics=True)
    assert statuses(p, 12).count(502) == 6
    assert held(p) == [0, 0]


# --- kept connections

def test_stale_connection_is_replaced(upstream, proxy):
    """The upstream closes its idle connection; the next request must not fail for it."""
    server = upstream(serve=lambda connection: (connection.read_request(), connection.send(response_bytes(body=b"ok"))))
    with proxy(one_router(server.url)).connect() as client:
        for _ in range(20):
            response = client.exchange()
            assert (response.status, response.body) == (200, b"ok")


def test_stale_connection_race_is_retried(upstream, proxy):
    """The upstream closes a kept connection just when it gets the second request on it, unanswered."""
    def serve(connection):
        connection.read_request()
        connection.send(response_bytes(body=b"first"))
        connection.record(connection.read_head())

    with proxy(one_router(upstream(serve=serve).url)).connect() as client:
        assert client.exchange().body == b"first"
        response = client.exchange()
        assert (response.status, response.body) == (200, b"first")


def test_post_is_not_sent_twice(upstream, proxy):
    """A request that may have had an effect is not repeated on its own."""
    def serve(connection):
        connection.read_request()
        connection.send(response_bytes(body=b"first"))
        connection.read_request()

    server = upstream(serve=serve)
    with proxy(one_router(server.url)).connect() as client:
        assert client.exchange().body == b"first"
        assert client.exchange("POST", body=b"effect").status == 502
    assert [r.method for r in server.requests].count("POST") == 1


def test_idle_upstream_connections_are_closed(upstream, proxy):
    server = upstream()
    p = proxy(one_router(server.url), static=timeouts(idleConnTimeout="200ms"))
    p.fetch()
    wait_until(lambda: server.open_connections == 0, "the idle upstream connection is closed")
    assert p.fetch().status == 200


def test_upstream_that_sends_more_than_it_should(upstream, proxy):
    """Bytes behind a response must never be taken for the answer to the next request."""
    def answer(connection, request):
        connection.send(response_bytes(body=request.target.encode()) + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    with proxy(one_router(upstream(answer).url)).connect() as client:
        for i in range(10):
            response = client.exchange(target=f"/{i}")
            assert response.body == b"/%d" % i


# --- early responses

@pytest.mark.differs("Traefik holds back the first 64 KiB of a request body of known length")
def test_response_before_the_request_is_complete(upstream, proxy):
    def serve(connection):
        connection.record(connection.read_head())
        connection.send(response_bytes(400, [("Connection", "close")], b"enough"))
        connection.sock.settimeout(15)
        while connection.sock.recv(65536):
            pass

    p = proxy(one_router(upstream(serve=serve).url))
    with p.connect() as client:
        client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", "1000000")]) + b"x" * 1000)
        response = client.response()
        assert (response.status, response.body) == (400, b"enough")
    assert p.running


# --- clients that go away

@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("when", ["before the response", "within the response", pytest.param(
    "within the request", marks=pytest.mark.differs("Traefik holds back the first 64 KiB of a request body"))])
def test_client_abort_reaches_the_upstream(upstream, proxy, how, when):
    noticed = threading.Event()

    def serve(connection):
        request = connection.record(connection.read_head())
        if request.target != "/abort":
            connection.send(response_bytes(body=b"fine"))
            return
        if when == "within the response":
            connection.send(head("HTTP/1.1 200 OK", [("Content-Length", str(1 << 30))]) + b"x" * 1000)
        connection.sock.settimeout(20)
        try:
            while connection.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        noticed.set()

    server = upstream(serve=serve)
    p = proxy(one_router(server.url))
    p.fetch(target="/fine")
    with p.flat():
        client = p.connect()
        if when == "within the request":
            client.send(head("POST /abort HTTP/1.1", [("Host", "a"), ("Content-Length", "1000")]) + b"half")
        else:
            client.send(request_bytes(target="/abort"))
        server.wait_requests(2)
        if when == "within the response":
            client.reader.head()
        client.reset() if how == "reset" else client.close()
        assert noticed.wait(20), "the upstream exchange goes on without a client"
    assert p.fetch(target="/fine").body == b"fine"


# --- a backend that is killed

BACKEND = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"real")
    def log_message(self, *a): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    allow_reuse_address = True
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def start_backend(port):
    backend = subprocess.Popen([sys.executable, "-c", BACKEND, str(port)], stderr=subprocess.DEVNULL)
    import socket

    def up():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True
        except OSError:
            return False

    wait_until(up, "the backend listens")
    return backend


def test_kill_9_of_the_backend_under_load(proxy):
    port = free_port()
    backend = start_backend(port)
    p = proxy(one_router(f"http://127.0.0.1:{port}"))
    outcomes, stop, lock = {"answered": 0, "failed": 0, "broken off": 0}, threading.Event(), threading.Lock()

    def client_loop(_):
        while not stop.is_set():
            try:
                with p.connect() as client:
                    while not stop.is_set():
                        response = client.exchange()
                        assert response.status in (200, 502), response.start_line
                        assert response.body.strip() in (b"real", b"Bad Gateway")
                        with lock:
                            outcomes["answered" if response.status == 200 else "failed"] += 1
            except Closed:
                with lock:
                    outcomes["broken off"] += 1

    def load():
        try:
            together(16, client_loop)
        except Exception as error:
            failures.append(error)

    failures = []
    loader = threading.Thread(target=load, daemon=True)
    loader.start()
    try:
        wait_until(lambda: outcomes["answered"] > 200, "answers before the kill")
        backend.send_signal(signal.SIGKILL)
        backend.wait()
        wait_until(lambda: outcomes["failed"] > 50, "failures after the kill")
        backend = start_backend(port)
        answered = outcomes["answered"]
        wait_until(lambda: outcomes["answered"] > answered + 200, "answers after the restart")
    finally:
        stop.set()
        loader.join(60)
        backend.kill()
        backend.wait()
    assert not failures, f"a client saw something else than 200 or 502: {failures[0]!r}"
    assert outcomes["broken off"] <= 16, "only the exchanges that the kill met may be broken off"

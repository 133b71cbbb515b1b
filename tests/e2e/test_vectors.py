"""The vectors of the parser's own tests from end to end: as requests of a client, and the same lines as responses of a
server."""

import pytest

from harness.client import Client
from harness.message import Closed
from harness.proxy import one_router
from harness.smuggling import vectors
from harness.upstream import response_bytes

VECTORS = vectors()
GOOD = {name for name, (_, head, body) in VECTORS.items() if head == body == "H1_DONE"}
STATUSES = {"H1_BAD_SYNTAX": 400, "H1_BAD_FRAMING": 400, "H1_BAD_HOST": 400, "H1_BAD_CODING": 501, "H1_BAD_VERSION": 505}
NEXT = b"GET /next HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"

# What becomes of a request line that a vector is about; all others become a plain status line.
STATUS_LINES = {
    "two spaces in the request line": b"HTTP/1.1  200 OK", "tab in the request line": b"HTTP/1.1\t200 OK",
    "minor version 9": b"HTTP/1.9 200 OK", "major version 2": b"HTTP/2.0 200 OK", "no version": b"200 OK",
    "unknown method": b"HTTP/1.1 299 Unknown", "method in lower case": b"http/1.1 200 OK",
    "space in the target": b"HTTP/1.1 200 O K", "byte over 0x7f in the target": b"HTTP/1.1 200 \xff",
    "chunked on HTTP/1.0": b"HTTP/1.0 200 OK",
}
# What is wrong in a request only, or the other way round.
GOOD_RESPONSES = {"no Host", "two Hosts", "space in the target", "byte over 0x7f in the target"}
BAD_RESPONSES = {"method in lower case"}


@pytest.fixture(scope="module")
def site(module_upstream, module_proxy):
    def serve(connection):
        while True:
            message = connection.reader.head()
            connection.reader.body(message, is_response=False)
            connection.record(message)
            connection.send(response_bytes(headers=[("X-Upstream", "yes")], body=message.body))

    server = module_upstream(serve=serve)
    return module_proxy(one_router(server.url), static={"weir": {"workers": 1}}), server


def exchange(port, data, pieces):
    """The responses, to the end of the connection."""
    found = []
    with Client(port) as client:
        try:
            for at in range(0, len(data), len(data) // pieces):
                client.send(data[at:at + len(data) // pieces])
        except OSError:
            pass  # refused before it was all sent
        try:
            while True:
                found.append(client.response())
        except (Closed, OSError) as error:
            assert not isinstance(error, TimeoutError), "no end of the connection"
    return found


@pytest.mark.parametrize("pieces", [1, 20])
@pytest.mark.parametrize("name", VECTORS)
def test_of_a_client(site, name, pieces):
    proxy, server = site
    data, head, body = VECTORS[name]
    before = len(server.requests)
    responses = exchange(proxy.port, data + NEXT, pieces)
    seen = server.requests[before:]
    if name in GOOD:
        assert [r.status for r in responses] == [200, 200]
        assert [m.target for m in seen] == ["/", "/next"]
        assert seen[0].method == data.split(b" ")[0].decode()
        assert seen[0].body == responses[0].body == (b"abc" if b"abc" in data else b"")
    else:
        assert seen == [], "something passed"
        assert len(responses) <= 1, "the connection went on"
        if head != "H1_DONE" and pieces == 1:
            assert [r.status for r in responses] == [STATUSES[head]]


def as_response(name):
    """(bytes, whether they are good, whether a body is)"""
    data, head, body = VECTORS[name]
    _, _, rest = data.partition(b"\n" if name == "line feeds alone end all lines" else b"\r\n")
    line = STATUS_LINES.get(name, b"HTTP/1.1 200 OK") + (b"\n" if name == "line feeds alone end all lines" else b"\r\n")
    return line + (rest or b"\r\n"), (head == "H1_DONE" or name in GOOD_RESPONSES) and name not in BAD_RESPONSES, body == "H1_DONE"


@pytest.fixture(scope="module")
def served(module_upstream, module_proxy):
    """Sends what is asked for by number, and then the end."""
    names = list(VECTORS)

    def answer(connection, request):
        pieces, number = map(int, request.target.split("/")[1:])
        data, _, _ = as_response(names[number])
        for at in range(0, len(data), max(len(data) // pieces, 1)):
            connection.send(data[at:at + max(len(data) // pieces, 1)])
        raise Closed()

    return module_proxy(one_router(module_upstream(answer).url), static={"weir": {"workers": 1}})


@pytest.mark.parametrize("pieces", [1, 1000])
@pytest.mark.parametrize("name", VECTORS)
def test_of_a_server(served, name, pieces):
    data, good, good_body = as_response(name)
    with served.connect() as client:
        try:
            response = client.exchange(target=f"/{pieces}/{list(VECTORS).index(name)}")
        except Closed as closed:
            assert good and not good_body, closed
            assert getattr(closed, "message", None) is None or closed.message.status == 200
            return
    if not good:
        assert response.status == 502
    elif not good_body:  # found out before the head was on its way
        assert response.status == 502, "a bad body was taken for a whole one"
    else:
        assert response.status == (299 if name == "unknown method" else 200)
        assert response.body == (b"abc" if b"abc" in data else b"")

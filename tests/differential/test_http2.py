"""What the backend sees and the client gets when a request comes by HTTP/2, without TLS."""

import re
import shutil
import subprocess

import pytest

from harness.upstream import response_bytes
from rig.backend import echo, reply, send
from rig.messages import everything
from rig.observe import shown

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

TIMEOUT_S = 30
LARGE = b"0123456789abcdef" * 20000


def header(*lines):
    return [part for line in lines for part in ("-H", line)]


# Name: (target, curl's options, body, the backend's script).
CASES = {
    "get": ("/", [], None, None),
    "escapes": ("/a%2Fb%20c/%7e?x=%26;y&z", [], None, None),
    "dots": ("/a/../b//c?q", ["--path-as-is"], None, None),
    "cookies": ("/", header("Cookie: a=1", "Cookie: b=2; c=3"), None, None),
    "names": ("/", header("x-lower: 1", "X-UPPER: 2", "X-two: a", "X-Two: b", "X-Empty;"), None, None),
    "forwarded": ("/", header("X-Forwarded-For: 1.2.3.4", "X-Real-Ip: 1.2.3.4", "Forwarded: for=x"), None, None),
    "te": ("/", header("TE: trailers"), None, None),
    "host": ("/", header("Host: other.example:8080"), None, None),
    "head": ("/", ["-I"], None, reply(headers=[("X-A", "b")])),
    "options": ("/x", ["-X", "OPTIONS"], None, None),
    "own-method": ("/x", ["-X", "BREW"], None, None),
    "post": ("/", ["--data-binary", "@-"], b"hello", echo),
    "post-empty": ("/", ["--data-binary", "@-"], b"", echo),
    "post-large": ("/", ["--data-binary", "@-"], LARGE, echo),
    "put-chunked": ("/", ["-T", "-"], LARGE, echo),
    "expect": ("/", header("Expect: 100-continue") + ["--data-binary", "@-"], b"hello", echo),
    "no-content": ("/", [], None, reply(204, body=b"")),
    "not-modified": ("/", [], None, reply(304, [("ETag", '"x"')], b"")),
    "chunked": ("/", [], None, send(response_bytes(chunks=[b"abc", b"def"]))),
    "hop-fields": ("/", [], None, reply(headers=[("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("X-Stays", "1")])),
    "redirect": ("/", [], None, reply(302, [("Location", "/there")])),
    "two-lines": ("/", [], None, reply(headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Case", "V")])),
    "until-close": ("/", [], None, send(b"HTTP/1.1 200 OK\r\n\r\nabc", close=True)),
    "nothing": ("/", [], None, send(close=True)),
    "not-found": ("/", header("Host: none.example"), None, None),
}

# What curl says of itself, and what the transports of both invent.
IGNORED = {"x-forwarded-server", "date", "user-agent"}


def fields(lines):
    found = {}
    for name, value in lines:
        if name.lower() not in IGNORED:
            found.setdefault(name.lower(), []).append(value)
    return found


def ask(port, target, options, body):
    command = ["curl", "-sS", "-i", "--http2-prior-knowledge", "--max-time", str(TIMEOUT_S), *options,
               f"http://127.0.0.1:{port}{target}"]
    done = subprocess.run(command, input=body, capture_output=True, timeout=2 * TIMEOUT_S, check=False)
    answer, _, rest = done.stdout.partition(b"\r\n\r\n")
    interim = []
    while re.match(rb"HTTP/2 1\d\d", answer):
        interim.append(answer)
        answer, _, rest = rest.partition(b"\r\n\r\n")
    first, *lines = answer.decode("latin-1").split("\r\n")
    return {"curl": done.returncode, "status": first, "interim": interim, "body": shown(rest),
            "fields": fields(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in lines)}


def observe(pair, instance, case):
    target, options, body, script = CASES[case]
    backend = pair.backends[0]
    backend.begin(script)
    flat = ask(instance.ports["web"], target, options, body)
    port = str(instance.ports["web"])
    flat["upstream"] = [
        {"line": request.start_line, "body": shown(request.body), "trailers": request.trailers,
         # The port is each proxy's own.
         "fields": {name: [value.replace(port, "PORT") for value in values] for name, values in fields(request.headers).items()}}
        for request in backend.finish() if not request.cut]
    # Go's client asks for gzip when its caller did not: the row "accept-encoding".
    for seen in flat["upstream"]:
        seen["fields"].pop("accept-encoding", None)
    # How often Go asks again depends on which of its goroutines notices the end first.
    if case == "nothing":
        flat["upstream"] = flat["upstream"][:1]
    return flat


@pytest.fixture(scope="module")
def pair(pairs):
    return pairs(dynamic=everything(router={"rule": "!Host(`none.example`)"}))


@pytest.mark.parametrize("case", CASES)
def test_case(pair, case):
    assert observe(pair, pair.weir, case) == observe(pair, pair.traefik, case)

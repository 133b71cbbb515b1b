"""compress: the same responses are compressed, with the same fields; what gzip packed is what was sent."""

import gzip

import pytest

from rig.backend import send
from rig.messages import get, service
from rig.observe import Case

MIDDLEWARES = {
    "plain": {}, "br": {"encodings": ["br", "gzip"]}, "zstd": {"encodings": ["zstd"]},
    "include": {"includedContentTypes": ["text/html", "application/json; a=b"]},
    "exclude": {"excludedContentTypes": ["text/html"]},
    "default-br": {"defaultEncoding": "br"}, "default-gzip": {"defaultEncoding": "gzip"},
    "least": {"minResponseBodyBytes": 100}, "zero": {"minResponseBodyBytes": 0}, "negative": {"minResponseBodyBytes": -1},
    "empty": {"encodings": []},
    "both": {"includedContentTypes": ["a/b"], "excludedContentTypes": ["c/d"]},
    "bad-type": {"excludedContentTypes": ["not a type"]}, "bad-encoding": {"encodings": ["deflate"]},
    "bad-default": {"encodings": ["gzip"], "defaultEncoding": "br"},
}
DYNAMIC = {"http": {
    "routers": {name: {"rule": f"Host(`{name}.example`)", "service": "s", "middlewares": [name]} for name in MIDDLEWARES},
    "middlewares": {name: {"compress": options} for name, options in MIDDLEWARES.items()},
    "services": {"s": service("a")},
}}

TEXT = b"".join(b"<p>line %d of a page</p>\n" % i for i in range(200))


def answer(*lines, body=TEXT, status="200 OK", length=True):
    fields = [f"Content-Length: {len(body)}"] if length else []
    return send("\r\n".join([f"HTTP/1.1 {status}", *fields, *lines, "", ""]).encode() + body)


def chunks(*parts, lines=(), trailers=()):
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n"
    return answer("Transfer-Encoding: chunked", *lines, length=False,
                  body=body + b"".join(line.encode() + b"\r\n" for line in trailers) + b"\r\n")


HTML = "Content-Type: text/html; charset=utf-8"
PAGE = answer(HTML, 'Etag: "a"', "Vary: Origin", "Accept-Ranges: bytes")

ACCEPTED = [None, "", "*", "gzip", "br", "zstd", "gzip, br, zstd", "gzip;q=0", "gzip;q=0, *", "identity", "identity, gzip", "identity, gzip;q=0.5",
            "br;q=0.5,gzip;q=0.9", "GZIP", "x-gzip", "gzip;Q=0.1", "deflate", "gzip;q=abc", "*;q=0", "gzip ; q=0.5 , br;q=0.4", "gzip;q=2,br;q=3",
            "gzip;foo=1;q=0", "identity;q=0", "gzip,gzip;q=0", " ,gzip", "*, br", "*, identity", "br, *;q=0.5", "zstd;q=0.001", "gzip;q=-1, br;q=0"]

RESPONSES = {
    "page": PAGE,
    "short": answer(HTML, body=b"x" * 99), "least": answer(HTML, body=b"x" * 100), "almost": answer(HTML, body=b"x" * 1023),
    "chunked": chunks(b"x" * 10, b"y" * 20), "chunked-long": chunks(TEXT, TEXT), "trailer": chunks(TEXT, lines=["Trailer: X-T"], trailers=["X-T: 1"]),
    "nothing": answer(body=b""),
    "encoded": answer("Content-Encoding: foo"), "identity": answer("Content-Encoding: identity"),
    "no-transform": answer("Cache-Control: no-transform"),
    "bad-type": answer("Content-Type: ;;"), "bad-parameter": answer("Content-Type: text/html; x"),
    "no-type": answer(body=b"x" * 3000), "no-type-html": answer(body=b"<html>" + TEXT),
    "json": answer("Content-Type: application/json; a=b"), "json-other": answer("Content-Type: application/json; a=c"),
    "picture": answer("Content-Type: image/png"),
    "events": chunks(b"data: 1\n\n", lines=["Content-Type: text/event-stream"]),
    "error": answer(status="500 Internal Server Error"),
    "not-modified": answer('Etag: "a"', status="304 Not Modified", body=b"", length=False),
    "no-content": answer(status="204 No Content", body=b"", length=False),
    "no-gzip": answer("No-Gzip-Compression: 1"),
    "partial-gzip": answer("Content-Range: bytes 0-5/10", status="206 Partial Content"),
    "parts": answer("Content-Type: multipart/byteranges; boundary=x", status="206 Partial Content"),
}


def case(name, host, accept, script, *headers, method="GET"):
    fields = [("Accept-Encoding", accept)] if accept is not None else []
    return Case(name, [get("/", *fields, *headers, host=f"{host}.example", method=method)], script)


def cases():
    for accept in ACCEPTED:
        for host in ("plain", "br", "zstd", "default-br", "default-gzip", "empty"):
            yield case(f"accept-{accept}-{host}", host, accept, PAGE)
    for name, script in RESPONSES.items():
        for accept in ("gzip", "br", "zstd"):
            for host in ("plain", "include", "exclude", "least", "zero", "negative"):
                if name != "partial-gzip" or accept == "gzip":
                    yield case(f"{name}-{accept}-{host}", host, accept, script)
    for host in ("both", "bad-type", "bad-encoding", "bad-default"):
        yield case(host, host, "gzip", PAGE)
    yield case("head", "plain", "gzip", answer(HTML, body=b""), method="HEAD")
    yield case("grpc", "plain", "gzip", PAGE, ("Content-Type", "application/grpc"))
    yield case("grpc-with-parameter", "plain", "gzip", PAGE, ("Content-Type", "application/GRPC; a=b"))
    yield case("request-type", "exclude", "gzip", answer("Content-Type: text/plain"), ("Content-Type", "text/html; x=y"))
    yield case("range", "plain", "gzip", PAGE, ("Range", "bytes=0-5"))
    yield case("two-lines", "plain", "deflate", PAGE, ("Accept-Encoding", "br"))


@pytest.fixture(scope="module")
def pair(pairs):
    return pairs(dynamic=DYNAMIC)


def plain(flat):
    """Go's server says how long a short answer is that is complete; encoders differ in every byte."""
    flat.pop("upstream0.header.accept-encoding", None)
    if "answer0.header.content-encoding" in flat and flat["answer0.header.content-encoding"][0] in ("gzip", "br", "zstd"):
        for name in ("content-length", "transfer-encoding"):
            flat.pop(f"answer0.header.{name}", None)
        flat["answer0.body"] = "packed"
    return flat


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_response(pair, case):
    theirs, ours = map(plain, pair.run(case))
    assert ours == theirs, [(key, theirs.get(key), ours.get(key)) for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]


@pytest.mark.parametrize("script", [PAGE, RESPONSES["chunked"], RESPONSES["chunked-long"]], ids=["page", "chunked", "long"])
def test_gzip(pair, script):
    from harness.client import Client

    def fetch(instance):
        pair.backends[0].begin(script)
        with Client(instance.ports["web"]) as client:
            client.send(get("/", ("Accept-Encoding", "gzip"), host="plain.example"))
            response = client.response()
        assert response.get("content-encoding") == "gzip"
        return gzip.decompress(response.body)

    assert fetch(pair.weir) == fetch(pair.traefik)

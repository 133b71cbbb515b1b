"""What `corpus/requests.txt` and the parser's own vectors hold."""

import ast
import re

from .guests import REPOSITORY

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: test.example\r\nX-Smuggled: 1\r\n\r\n"

_VECTOR = re.compile(r'\{"([^"]+)", (H1_\w+), (H1_\w+),\s*(BYTES|GET|POST|CHUNKS)\(((?:\s*"(?:[^"\\]|\\.)*")+)\)\}')
_POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
_MACROS = {"BYTES": b"", "GET": b"GET / HTTP/1.1\r\n", "POST": _POST, "CHUNKS": _POST + b"Transfer-Encoding: chunked\r\n\r\n"}


def _bytes(text):
    """Of a text with the escapes that C and Python share."""
    return ast.literal_eval("b" + text)


def corpus():
    """{name: request}"""
    found = {}
    text = (REPOSITORY / "tests" / "e2e" / "corpus" / "requests.txt").read_text()
    for section in re.split(r"^= ", text, flags=re.M)[1:]:
        name, _, lines = section.partition("\n")
        assert name not in found, f"{name!r} is there twice"
        raw = _bytes('"' + lines.replace("\n", "").replace('"', '\\"') + '"')
        for word, value in ((b"{smuggled}", SMUGGLED), (b"{n}", b"%d" % len(SMUGGLED)), (b"{n+5}", b"%d" % (len(SMUGGLED) + 5))):
            raw = raw.replace(word, value)
        found[name] = raw
    return found


def vectors():
    """Those of `tests/unit/h1_vectors.h`: {name: (bytes, what the head is, what a chunked body is)}, results as there."""
    text = (REPOSITORY / "tests" / "unit" / "h1_vectors.h").read_text()
    found = {}
    for name, head, body, macro, literals in _VECTOR.findall(text):
        found[name] = (_MACROS[macro] + b"".join(_bytes(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', literals)), head, body)
    assert len(found) == text.count("{\"") == 55, f"{len(found)} vectors were understood"
    return found

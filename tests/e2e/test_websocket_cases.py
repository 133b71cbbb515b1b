"""The categories of the Autobahn suite, every case through every way that a WebSocket may take: whatever is sent, well-formed
or not, arrives byte for byte, and what the strict server at the end says to it is what it says without a proxy."""

import hashlib
import struct

import pytest

from harness.certificates import Authority
from harness.client import Client
from harness.message import ProtocolError
from harness.proxy import Plugin, merge, one_router
from harness.tls import TlsClient, server_context
from harness.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket, accept_websocket, frame, mask, open_websocket, switch_bytes

KEY = b"\x37\xfa\x21\x3d"
UTF8 = "κόσμε-zażółć-✓-𝄞".encode()


def raw(first, data=b"", length=None, marked=None):
    """A frame of any first byte, with a length that is written in any number of bytes (1, 2 or 8) and a mask bit that may be
    wrong: it depends on the direction unless `marked` is given."""

    def wire(masked):
        flag = 0x80 if (masked if marked is None else marked) else 0
        size = length or (1 if len(data) < 126 else 2 if len(data) < 65536 else 8)
        head = bytes([first]) + {1: lambda: bytes([flag | len(data)]), 2: lambda: bytes([flag | 126]) + struct.pack("!H", len(data)),
                                 8: lambda: bytes([flag | 127]) + struct.pack("!Q", len(data))}[size]()
        return head + (KEY + mask(data, KEY) if flag else data)

    return wire


def one(opcode, data=b"", final=True):
    return raw(opcode | (0x80 if final else 0), data)


def closing(code=None, reason=b""):
    return one(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


END = closing(1000)
GOOD, BAD = [], []  # names


def cases():
    """{name: frames}; GOOD and BAD say what the strict server finds in them."""
    found = {}

    def add(good, name, *frames):
        found[name] = frames
        (GOOD if good else BAD).append(name)

    for size in (0, 1, 125, 126, 127, 128, 65535, 65536):
        add(True, f"1 text of {size}", one(TEXT, b"*" * size), END)
        add(True, f"1 binary of {size}", one(BINARY, b"\xfe" * size), END)
    for size in (0, 1, 125):
        add(True, f"2 ping of {size}", one(PING, b"\xff\0p"[:size] or b"p" * size), END)
    add(False, "2 ping of 126", one(PING, b"p" * 126), END)
    add(True, "2 pong that nobody asked for", one(PONG, b"unasked"), one(TEXT, b"after"), END)
    add(True, "2 ten pings at once", *(one(PING, b"%d" % i) for i in range(10)), END)
    for bits in range(1, 8):
        for opcode in (TEXT, BINARY, PING, CLOSE):
            add(False, f"3 reserved bits {bits} with opcode {opcode}", one(TEXT, b"before"), raw(0x80 | bits << 4 | opcode, b"\x03\xe8"), one(TEXT, b"after"))
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        add(False, f"4 opcode {opcode}", one(TEXT, b"before"), one(opcode, b"x"), one(PING), END)
    add(True, "5 two fragments", one(TEXT, b"frag", False), one(CONTINUATION, b"ment"), END)
    add(True, "5 empty fragments", one(TEXT, b"", False), one(CONTINUATION, b"", False), one(CONTINUATION), END)
    add(True, "5 ping between fragments", one(TEXT, b"frag", False), one(PING, b"p"), one(CONTINUATION, b"ment"), END)
    add(True, "5 ping in each of many gaps", one(BINARY, b"0", False),
        *(f for i in range(50) for f in (one(PING, b"%d" % i), one(CONTINUATION, b"%d" % i, False))), one(CONTINUATION, b"."), END)
    add(False, "5 fragmented ping", one(PING, b"frag", False), one(CONTINUATION, b"ment"), END)
    add(False, "5 fragmented close", one(CLOSE, b"\x03\xe8", False), one(CONTINUATION, b"ment"), END)
    add(False, "5 continuation of nothing", one(CONTINUATION, b"x"), one(TEXT, b"after"), END)
    add(False, "5 continuation of what was whole", one(TEXT, b"whole"), one(CONTINUATION, b"x"), END)
    add(False, "5 message within a message", one(TEXT, b"frag", False), one(TEXT, b"new"), END)
    add(True, "6 text of many scripts", one(TEXT, UTF8), END)
    for i in range(1, len(UTF8)):
        add(True, f"6 text cut behind byte {i}", one(TEXT, UTF8[:i], False), one(CONTINUATION, UTF8[i:]), END)
    for name, text in {"a surrogate": b"\xed\xa0\x80", "an overlong slash": b"\xc0\xaf", "five bytes": b"\xf8\x88\x80\x80\x80", "beyond the planes":
                       b"\xf4\x90\x80\x80", "a continuation byte": b"\x80", "half a letter": UTF8[:3], "impossible bytes": b"\xfe\xff"}.items():
        add(False, f"6 {name}", one(TEXT, text), END)
        add(False, f"6 {name} in fragments", one(TEXT, b"good" + text[:1], False), one(CONTINUATION, text[1:]), END)
    add(True, "6 the same bytes as binary", one(BINARY, b"\xed\xa0\x80\xc0\xaf\xfe\xff"), END)
    for code in (None, 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        add(True, f"7 close {code}", one(TEXT, b"before"), closing(code, b"" if code is None else b"why"))
    add(True, "7 close with the longest reason", closing(1000, b"r" * 123))
    add(False, "7 close with a reason too long", closing(1000, b"r" * 124))
    add(False, "7 close with half a code", one(CLOSE, b"\x03"))
    add(False, "7 close with a reason that is no text", closing(1000, b"\xff\xfe"))
    for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535):
        add(False, f"7 close {code}", closing(code))
    add(True, "7 frames behind a close", END, one(TEXT, b"late"), one(PING, b"late"), END)
    add(False, "9 length in too many bytes", raw(0x80 | BINARY, b"short", 2), END)
    add(False, "9 length in far too many bytes", raw(0x80 | BINARY, b"short", 8), END)
    add(False, "10 masked the wrong way", raw(0x80 | TEXT, b"wrong", marked="other"), END)
    return found


CASES = cases()


def bytes_of(frames, masked):
    return b"".join(f(masked) for f in frames)


class Strict(WebSocket):
    """Echoes, and says why it does not: closes with 1002 or 1007."""

    def check_close(self):
        """RFC 6455 7.4; returns the code's bytes, if there are any."""
        code = self.close_code
        if code is None:
            return b""
        if not 3000 <= code <= 4999 and (not 1000 <= code <= 1014 or code in (1004, 1005, 1006)):
            raise ProtocolError("close code")
        return struct.pack("!H", code)

    def serve(self):
        while True:
            try:
                opcode, data = self.receive()
                if opcode == CLOSE:
                    code = self.check_close()
                    data.decode()
                    self.sock.sendall(frame(CLOSE, code + data))
                    return
            except UnicodeDecodeError:
                return self.send_close(1007)
            except ProtocolError:
                return self.send_close(1002)
            self.send(data, opcode)


def strict(connection):
    accept_websocket(connection)
    Strict(connection.sock, connection.reader, is_client=False).serve()
    linger(connection)


def linger(connection):
    """Ends our side and reads the rest, so that no reset overtakes what we have sent."""
    connection.sock.shutdown(1)
    while connection.sock.recv(65536):
        pass


def teller(connection):
    """Sends the case that the target names, and then the end."""
    request = connection.read_request()
    connection.send(switch_bytes(request) + bytes_of(list(CASES.values())[int(request.target.rsplit("/", 1)[1])], masked=False))
    linger(connection)


WAYS = ["plain", "tls", "headers", "response-plugin", "both-plugin", "compress", "buffering", "retry"]
LARGE_WAYS = ["plain", "tls", "both-plugin"]
MIDDLEWARES = {
    "headers": {"plugin": {"header": {}}},
    "response-plugin": {"plugin": {"body": {"features": 2, "response": "all"}}},
    "both-plugin": {"plugin": {"body": {"features": 3, "request": "all", "response": "rewrite"}}},
    "compress": {"compress": {}},
    "buffering": {"buffering": {"maxRequestBodyBytes": 100, "maxResponseBodyBytes": 100}},
    "retry": {"retry": {"attempts": 3}},
}


pytestmark = pytest.mark.differs("a guest that buffers responses makes Traefik's connection unfit for a switch")


@pytest.fixture(scope="module")
def ways(module_upstream, module_proxy, tmp_path_factory):
    """What connects through each way to the server of a kind, and without a proxy ("direct")."""
    ca = Authority(tmp_path_factory.mktemp("ca"))
    certificate = ca.issue("server", "IP:127.0.0.1")
    dynamic, direct = {"http": {"middlewares": MIDDLEWARES, "serversTransports": {"t": {"rootCAs": [str(ca.file)]}}}}, {}
    for kind, serve in (("strict", strict), ("teller", teller), ("mirror", mirror)):
        plain, tls = module_upstream(serve=serve), module_upstream(serve=serve, tls=server_context(certificate))
        direct[kind] = plain.port
        for way in WAYS:
            part = one_router((tls if way == "tls" else plain).url, rule=f"PathPrefix(`/{way}/{kind}/`)")["http"]
            router, service = part["routers"]["r"], part["services"]["s"]
            router["service"] = f"{way}-{kind}"
            if way == "tls":
                router["tls"], service["loadBalancer"]["serversTransport"] = {}, "t"
            elif way in MIDDLEWARES:
                router["middlewares"] = [way]
            dynamic = merge(dynamic, {"http": {"routers": {f"{way}-{kind}": router}, "services": {f"{way}-{kind}": service}}})
    p = module_proxy(dynamic, plugins={"header": Plugin("header"), "body": Plugin("body")})

    def connect(way, kind, name=""):
        if way == "direct":
            client = Client(direct[kind])
        else:
            client = TlsClient(p.port, "test.example") if way == "tls" else p.connect()
        open_websocket(client, target=f"/{way}/{kind}/{name}", headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
        return client

    return connect


def mirror(connection):
    """Sends back what comes, byte for byte."""
    accept_websocket(connection)
    connection.send(connection.reader.buffer)
    while True:
        data = connection.sock.recv(1 << 18)
        if not data:
            return linger(connection)
        connection.send(data)


def transcript(client, data, pieces):
    """All that the server sends in answer to `data`."""
    with client:
        size = max(len(data) // pieces, 1)
        try:
            for at in range(0, len(data), size):
                client.send(data[at:at + size])
        except OSError:
            pass  # the server had heard enough
        return client.to_end()


def wire(name, masked):
    """What is masked the wrong way is what is not masked as it should be."""
    return bytes_of(CASES[name], masked) if name != "10 masked the wrong way" else bytes_of([raw(0x80 | TEXT, b"wrong", marked=not masked), END], masked)


def test_what_the_server_finds(ways):
    """Without a proxy, so that agreement below means something."""
    for name in GOOD:
        assert closed_with(transcript(ways("direct", "strict"), wire(name, True), 1)) == closed_with(wire(name, False)), name
    for name in BAD:
        assert closed_with(transcript(ways("direct", "strict"), wire(name, True), 1)) in (1002, 1007), name


def closed_with(answer):
    """The code of the close at the end of an answer."""
    code = answer[answer.rindex(bytes([0x80 | CLOSE])) + 2:][:2]
    return struct.unpack("!H", code)[0] if code else None


@pytest.mark.parametrize("way", WAYS)
def test_of_a_client(ways, way):
    for pieces in (1, 1000):
        for name in CASES:
            data = wire(name, True)
            expected = transcript(ways("direct", "strict"), data, 1)
            assert transcript(ways(way, "strict"), data, pieces) == expected, name


@pytest.mark.parametrize("way", WAYS)
def test_of_a_server(ways, way):
    for number, name in enumerate(CASES):
        with ways(way, "teller", number) as client:
            expected = bytes_of(CASES[name], masked=False)
            assert client.reader.exactly(len(expected)) == expected, name
            if way != "tls":
                client.end_of_input()
                assert client.to_end() == b"", name


@pytest.mark.parametrize("way,size", [(way, size) for size in (1 << 20, 16 << 20) for way in WAYS if size == 1 << 20 or way in LARGE_WAYS])
def test_large_messages(ways, way, size):
    """A message, whole and in fragments, there and back."""
    block = hashlib.sha256(b"seed").digest() * (size // 32)
    for part in (size, 1 << 20, 4096, 64):
        if part > size or size // part > 20000:
            continue
        frames = [raw((BINARY if at == 0 else CONTINUATION) | (0x80 if at + part >= size else 0), block[at:at + part]) for at in range(0, size, part)]
        data = bytes_of(frames, True)
        with ways(way, "mirror") as client:
            assert client.send_and_read(data, len(data)) == data

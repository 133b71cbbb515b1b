"""Both ends of a WebSocket (RFC 6455), strict about what they receive: reserved bits, masks, shortest lengths, control
frames, the order of fragments and UTF-8."""

import base64
import hashlib
import os
import struct

from .message import Closed, ProtocolError, head

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()


def mask(data, key):
    whole = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(data), "big") if data else b""


def frame(opcode, data=b"", final=True, masked=False):
    length = len(data)
    out = bytes([opcode | (0x80 if final else 0)])
    flag = 0x80 if masked else 0
    if length < 126:
        out += bytes([flag | length])
    elif length < 65536:
        out += bytes([flag | 126]) + struct.pack("!H", length)
    else:
        out += bytes([flag | 127]) + struct.pack("!Q", length)
    if not masked:
        return out + data
    key = os.urandom(4)
    return out + key + mask(data, key)


def check(condition, what):
    if not condition:
        raise ProtocolError(f"WebSocket: {what}")


class WebSocket:
    """One end on a connected socket with a reader; the client's end masks."""

    def __init__(self, sock, reader, is_client):
        self.sock, self.reader, self.is_client = sock, reader, is_client
        self.pongs = []
        self.close_code = None

    def send(self, data, opcode=None, final=True):
        if isinstance(data, str):
            data, opcode = data.encode(), TEXT if opcode is None else opcode
        self.sock.sendall(frame(BINARY if opcode is None else opcode, data, final, self.is_client))

    def send_fragments(self, parts, opcode=BINARY, between=()):
        """A message in fragments, with the control frames (opcode, data) of `between` between each two of them."""
        for i, part in enumerate(parts):
            self.send(part, opcode if i == 0 else CONTINUATION, i == len(parts) - 1)
            if i < len(parts) - 1:
                for control, data in between:
                    self.send(data, control)

    def send_close(self, code=None, reason=b""):
        self.send(b"" if code is None else struct.pack("!H", code) + reason, CLOSE)

    def read_frame(self):
        first, second = self.reader.exactly(2)
        check(first & 0x70 == 0, "a reserved bit is set")
        check(bool(second & 0x80) != self.is_client, "masked the wrong way")
        length = second & 0x7F
        if length == 126:
            length = struct.unpack("!H", self.reader.exactly(2))[0]
            check(length >= 126, "not the shortest length")
        elif length == 127:
            length = struct.unpack("!Q", self.reader.exactly(8))[0]
            check(length >= 65536, "not the shortest length")
        opcode, final = first & 15, bool(first & 0x80)
        check(opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG), f"opcode {opcode}")
        check(opcode < 8 or (final and length < 126), "a long or fragmented control frame")
        key = self.reader.exactly(4) if second & 0x80 else None
        data = self.reader.exactly(length)
        return opcode, final, mask(data, key) if key else data

    def receive(self):
        """The next message as (opcode, data), or (CLOSE, reason): answers pings and the other end's close."""
        kind, parts = None, []
        while True:
            opcode, final, data = self.read_frame()
            if opcode == PING:
                self.send(data, PONG)
            elif opcode == PONG:
                self.pongs.append(data)
            elif opcode == CLOSE:
                check(len(data) != 1, "half a close code")
                self.close_code = struct.unpack("!H", data[:2])[0] if data else None
                return CLOSE, data[2:]
            else:
                check((opcode == CONTINUATION) == (kind is not None), "fragments out of order")
                kind = opcode if kind is None else kind
                parts.append(data)
                if final:
                    whole = b"".join(parts)
                    if kind == TEXT:
                        whole.decode()
                    return kind, whole


def handshake_bytes(target="/", host="test.example", key=None, headers=()):
    key = key or base64.b64encode(os.urandom(16)).decode()
    fields = [("Host", host), ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", key),
              ("Sec-WebSocket-Version", "13"), *headers]
    return head(f"GET {target} HTTP/1.1", fields)


def open_websocket(client, target="/", host="test.example", headers=()):
    """The client's handshake on a connection of `harness.client`."""
    key = base64.b64encode(os.urandom(16)).decode()
    client.send(handshake_bytes(target, host, key, headers))
    response = client.response()
    check(response.status == 101, f"the handshake was answered with {response.status} {response.body!r}")
    check((response.get("Upgrade") or "").lower() == "websocket", "no Upgrade")
    check((response.get("Connection") or "").lower() == "upgrade", "no Connection")
    check(response.get("Sec-WebSocket-Accept") == accept_of(key), "Sec-WebSocket-Accept")
    socket = WebSocket(client.sock, client.reader, is_client=True)
    socket.response = response
    return socket


def switch_bytes(request, headers=()):
    return head("HTTP/1.1 101 Switching Protocols", [("Upgrade", "websocket"), ("Connection", "Upgrade"),
                ("Sec-WebSocket-Accept", accept_of(request.get("Sec-WebSocket-Key"))), *headers])


def accept_websocket(connection):
    """The server's handshake on a connection of `harness.upstream`."""
    request = connection.read_request()
    connection.send(switch_bytes(request))
    return WebSocket(connection.sock, connection.reader, is_client=False)


def echo(connection):
    """A server's script: sends every message back, whole, until a close, which it answers."""
    socket = accept_websocket(connection)
    while True:
        opcode, data = socket.receive()
        if opcode == CLOSE:
            socket.send_close(socket.close_code, data)
            return
        socket.send(data, opcode)


def drain(socket):
    """Messages up to the close or the end of the connection."""
    got = []
    while True:
        try:
            opcode, data = socket.receive()
        except Closed:
            return got
        if opcode == CLOSE:
            return got
        got.append(data)

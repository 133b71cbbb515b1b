"""One stream of an HTTP/2 connection, by hand: enough for extended CONNECT (RFC 8441), whose DATA looks like a socket."""

import socket
import struct

from .client import TIMEOUT_S
from .message import ProtocolError, Reader

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
ENABLE_CONNECT_PROTOCOL = 8
WINDOW = 1 << 30
# HPACK's static table: what a server without a history may send alone.
_STATUS = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
# Huffman codes of digits, for statuses that are not in it.
_HUFFMAN = {"00000": "0", "00001": "1", "00010": "2", "011001": "3", "011010": "4", "011011": "5", "011100": "6", "011101": "7",
            "011110": "8", "011111": "9"}


def literal(name, value):
    """A line without indexing and without Huffman's code."""
    assert len(name) < 127 and len(value) < 127
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def status_of(block):
    """The first line of a response's head."""
    if block[0] in _STATUS:
        return _STATUS[block[0]]
    # A literal with the name of entry 8 to 14: one byte of index, the length, the value.
    length = block[1] & 0x7F
    if not block[1] & 0x80:
        return int(block[2:2 + length])
    bits, digits = "".join(f"{byte:08b}" for byte in block[2:2 + length]), ""
    while len(digits) < 3:
        code = next(code for code in _HUFFMAN if bits.startswith(code))
        digits, bits = digits + _HUFFMAN[code], bits[len(code):]
    return int(digits)


class H2Stream:
    """`sock`: connected, with TLS or without. The request is sent by `connect`; then it is read and written as a socket."""

    def __init__(self, sock):
        self.sock, self.frames = sock, Reader(sock)
        self.settings = {}
        self.room = self.stream_room = 65535
        self.pongs = 0
        self.status = None
        self.reset = None
        self.ended = False
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.write(SETTINGS, 0, 0, struct.pack("!HI", 4, WINDOW))
        self.write(WINDOW_UPDATE, 0, 0, struct.pack("!I", WINDOW))
        while not self.settings:
            self.step()

    def write(self, kind, flags, stream, payload=b""):
        self.sock.sendall(struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload)

    def connect(self, *fields, protocol="websocket", authority="test.example", path="/", flags=0, wait=True):
        lines = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":authority", authority), (":path", path), *fields]
        self.write(HEADERS, END_HEADERS | flags, 1, b"".join(literal(name, value) for name, value in lines))
        while wait and self.status is None and self.reset is None:
            self.step()
        return self.status

    def step(self):
        """Reads one frame; returns what it brings of the stream's data."""
        head = self.frames.exactly(9)
        kind, flags = head[3], head[4]
        payload = self.frames.exactly(int.from_bytes(head[:3], "big"))
        stream = int.from_bytes(head[5:], "big")
        if kind == SETTINGS and not flags & ACK:
            new = dict(struct.iter_unpack("!HI", payload))
            self.stream_room += new.get(4, 65535) - self.settings.get(4, 65535)
            self.settings |= new
            self.write(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self.write(PING, ACK, 0, payload)
        elif kind == PING:
            self.pongs += 1
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            self.room, self.stream_room = (self.room + more, self.stream_room) if stream == 0 else (self.room, self.stream_room + more)
        elif kind == HEADERS:
            self.status = status_of(payload)
        elif kind == RST_STREAM:
            self.reset = int.from_bytes(payload, "big")
        elif kind == GOAWAY and payload[4:8] != b"\0\0\0\0":
            raise ProtocolError(f"GOAWAY with {payload!r}")
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.ended = True
        return payload if kind == DATA else b""

    # --- as a socket

    def sendall(self, data):
        while data:
            while min(self.room, self.stream_room) == 0 and self.reset is None:
                self.pending += self.step()
            if self.reset is not None:
                raise ConnectionResetError(f"the stream was reset with {self.reset}")
            part, data = data[:min(16384, self.room, self.stream_room)], data[min(16384, self.room, self.stream_room):]
            self.room -= len(part)
            self.stream_room -= len(part)
            self.write(DATA, 0, 1, part)

    pending = b""

    def recv(self, _):
        data, self.pending = self.pending, b""
        while not data and not self.ended:
            data = self.step()
            if self.reset is not None:
                raise ConnectionResetError(f"the stream was reset with {self.reset}")
        if data:
            self.write(WINDOW_UPDATE, 0, 0, struct.pack("!I", len(data)))
            if not self.ended:
                self.write(WINDOW_UPDATE, 0, 1, struct.pack("!I", len(data)))
        return data

    def end(self):
        self.write(DATA, END_STREAM, 1)


def dial(port):
    return H2Stream(socket.create_connection(("127.0.0.1", port), TIMEOUT_S))

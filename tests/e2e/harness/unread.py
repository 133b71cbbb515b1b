"""A client of HTTP/2 that lets nothing of a body be sent to it."""

import socket
import struct

HEADERS, SETTINGS = 1, 4
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW_SIZE = 4


class Unread:
    def __init__(self, port, timeout_s=60):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._next = 1
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self._send(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def _send(self, kind, flags, stream, payload):
        self._socket.sendall(struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload)

    def _read(self, count):
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            assert piece, "the connection was closed"
            data += piece
        return data

    def ask(self, target):
        """Returns when the head of the answer has come."""
        path = target.encode()
        stream, self._next = self._next, self._next + 2
        # GET, http, :path and :authority as literals that are not indexed.
        fields = b"\x82\x86\x04" + bytes([len(path)]) + path + b"\x01\x01x"
        self._send(HEADERS, END_STREAM | END_HEADERS, stream, fields)
        while True:
            head = self._read(9)
            size, kind, flags, of = int.from_bytes(head[:3], "big"), head[3], head[4], int.from_bytes(head[5:], "big")
            self._read(size)
            if kind == SETTINGS and not flags & ACK:
                self._send(SETTINGS, ACK, 0, b"")
            if kind == HEADERS and of == stream:
                return

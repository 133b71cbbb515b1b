"""Clients that send exact bytes."""

import socket
import struct

from .message import Reader, chunked, head

TIMEOUT_S = 30.0


class Client:
    """One connection to the proxy."""

    def __init__(self, port, host="127.0.0.1", timeout_s=TIMEOUT_S, receive_buffer=None, source=None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            self.sock.bind((source, 0))
        self.sock.settimeout(timeout_s)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def response(self, method="GET"):
        return self.reader.response(method)

    def exchange(self, method="GET", target="/", headers=(), body=None, chunks=None, host="test.example", version="1.1"):
        self.send(request_bytes(method, target, headers, body, chunks, host, version))
        return self.response(method)

    def to_end(self):
        return self.reader.to_end()

    def end_of_input(self):
        """Half-closes: the proxy sees the end of what we send."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


def request_bytes(method="GET", target="/", headers=(), body=None, chunks=None, host="test.example", version="1.1"):
    lines = [("Host", host)] if host is not None else []
    lines += list(headers)
    if chunks is not None:
        return head(f"{method} {target} HTTP/{version}", lines + [("Transfer-Encoding", "chunked")]) + chunked(*chunks)
    if body is not None:
        lines.append(("Content-Length", str(len(body))))
    return head(f"{method} {target} HTTP/{version}", lines) + (body or b"")


def fetch(port, method="GET", target="/", timeout_s=TIMEOUT_S, **request):
    """One request on a connection of its own."""
    with Client(port, timeout_s=timeout_s) as client:
        return client.exchange(method, target, **request)

"""Clients that send exact bytes."""

import select
import socket
import ssl
import struct
import time

from .message import Closed, Reader, chunked, head

TIMEOUT_S = 30.0


class Client:
    """One connection to the proxy; `port` is a number, or the path of a Unix socket."""

    def __init__(self, port, host="127.0.0.1", timeout_s=TIMEOUT_S, receive_buffer=None, source=None):
        by_path = not isinstance(port, int)
        family = socket.AF_UNIX if by_path else socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            self.sock.bind((source, 0))
        self.sock.settimeout(timeout_s)
        self.sock.connect(str(port) if by_path else (host, port))
        if not by_path:
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

    def send_and_read(self, data, size_bytes):
        """Sends `data` and reads `size_bytes` meanwhile. One thread does both: a TLS connection of Python's cannot be read and
        written by two at once."""
        sent, received = 0, bytearray(self.reader.exactly(len(self.reader.buffer)))
        timeout_s = self.sock.gettimeout()
        deadline = time.monotonic() + timeout_s
        self.sock.setblocking(False)
        try:
            while len(received) < size_bytes:
                moved = False
                if sent < len(data):
                    count = _unless_blocked(lambda: self.sock.send(memoryview(data)[sent:sent + 65536]))
                    sent += count or 0
                    moved = bool(count)
                part = _unless_blocked(lambda: self.sock.recv(262144))
                if part == b"":
                    raise Closed(bytes(received))
                received += part or b""
                if moved or part:
                    deadline = time.monotonic() + timeout_s
                elif time.monotonic() > deadline:
                    raise TimeoutError(f"silence after {len(received)} bytes read and {sent} sent")
                else:
                    _wait(self.sock, select.POLLIN | (select.POLLOUT if sent < len(data) else 0))
        finally:
            self.sock.settimeout(timeout_s)
        assert sent == len(data)
        return bytes(received)

    def end_of_input(self):
        """Half-closes: the proxy sees the end of what we send."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


def _wait(sock, events):
    """At most a second. Not by select(), which knows no descriptors beyond 1023: long runs of tests have them."""
    poll = select.poll()
    poll.register(sock, events)
    poll.poll(1000)


def _unless_blocked(call):
    """What a non-blocking call returns, None when it would block."""
    try:
        return call()
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None


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

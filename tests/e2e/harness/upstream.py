"""An upstream server under the test's control: it records what it received to the byte and answers whatever the test
says, including nothing, garbage, or half of it."""

import socket
import ssl
import struct
import threading

from .message import Closed, Reader, chunked, head
from .waiting import wait_until


def response_bytes(status=200, headers=(), body=b"", chunks=None, trailers=(), reason="OK", version="1.1"):
    headers = list(headers)
    start = f"HTTP/{version} {status} {reason}"
    if chunks is not None:
        return head(start, headers + [("Transfer-Encoding", "chunked")]) + chunked(*chunks, trailers=trailers)
    if status not in (204, 304) and not any(n.lower() == "content-length" for n, _ in headers):
        headers.append(("Content-Length", str(len(body))))
    return head(start, headers) + body


class Connection:
    """One accepted connection, seen from the script that serves it."""

    def __init__(self, upstream, sock, number):
        self.upstream = upstream
        self.sock = sock
        self.number = number
        self.served = 0
        self.reader = Reader(sock)

    def secure(self, context):
        self.sock = context.wrap_socket(self.sock, server_side=True)
        self.reader = Reader(self.sock)

    def send(self, data):
        self.sock.sendall(data)

    def read_head(self):
        return self.reader.head()

    def read_request(self):
        return self.record(self.reader.request())

    def record(self, request):
        request.connection = self.number
        self.upstream._record(request)
        return request

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def peer_closed(self, timeout_s=15.0):
        """Waits until the proxy closes its side; returns False when bytes come instead."""
        self.sock.settimeout(timeout_s)
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


def answer_ok(connection, request):
    connection.send(response_bytes(body=b"ok"))


class Upstream:
    """Serves every connection in a thread. `answer(connection, request)` replies to each recorded request; `serve
    (connection)`, if given, replaces the whole loop including the reading. `tls`: the context of a server; what clients
    do with it is in `handshakes`, per connection whether it was resumed, or why it failed. `unix`: the path of a socket to listen on."""

    def __init__(self, answer=answer_ok, serve=None, host="127.0.0.1", port=0, backlog=512, tls=None, unix=None):
        self.answer = answer
        self.serve = serve
        self.tls = tls
        self.handshakes = []
        self.requests = []
        self.failures = []
        self.accepted = 0
        self._changed = threading.Condition()
        self._connections = set()
        if unix is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(unix))
            self._listener.listen(backlog)
            self.url = f"unix://{unix}"
        else:
            is_v6 = ":" in host
            self._listener = socket.create_server((host, port), family=socket.AF_INET6 if is_v6 else socket.AF_INET, backlog=backlog)
            self.port = self._listener.getsockname()[1]
            self.url = f"{'http' if tls is None else 'https'}://{f'[{host}]' if is_v6 else host}:{self.port}"
        self._stopped = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(60)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                if self._stopped:
                    sock.close()
                    return
                self.accepted += 1
                connection = Connection(self, sock, self.accepted)
                self._connections.add(connection)
                self._changed.notify_all()
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            if self.tls is not None:
                self._handshake(connection)
            if self.serve is not None:
                self.serve(connection)
            else:
                self._loop(connection)
        except (Closed, OSError):
            pass
        except Exception as error:  # a script's own failure must fail the test, not vanish with the thread
            self.failures.append(error)
        finally:
            connection.close()
            with self._changed:
                self._connections.discard(connection)
                self._changed.notify_all()

    def _handshake(self, connection):
        try:
            connection.secure(self.tls)
            self.handshakes.append(connection.sock.session_reused)
        except ssl.SSLError as error:
            self.handshakes.append(error.reason)
            raise

    def _loop(self, connection):
        while True:
            request = connection.read_request()
            self.answer(connection, request)
            connection.served += 1
            if (request.get("Connection") or "").lower() == "close":
                return

    def _record(self, request):
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    @property
    def open_connections(self):
        with self._changed:
            return len(self._connections)

    def wait_requests(self, n=1, timeout_s=15.0):
        with self._changed:
            done = self._changed.wait_for(lambda: len(self.requests) >= n, timeout_s)
            assert done, f"{len(self.requests)} requests arrived, expected {n}"
            return self.requests

    def wait_accepted(self, n, timeout_s=15.0):
        wait_until(lambda: self.accepted >= n, lambda: f"{self.accepted} connections, expected {n}", timeout_s)

    @property
    def last(self):
        return self.wait_requests(1)[-1]

    def kill(self):
        """As if the process died: connections are reset and the port is closed."""
        with self._changed:
            self._stopped = True
            connections = list(self._connections)
        self._close_listener()
        for connection in connections:
            connection.reset()

    def _close_listener(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept(), which close() does not
        except OSError:
            pass
        self._listener.close()

    def stop(self):
        with self._changed:
            self._stopped = True
            connections = list(self._connections)
        self._close_listener()
        for connection in connections:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        assert not self.failures, f"the upstream's script failed: {self.failures[0]!r}"


def held(upstream):
    """An upstream that answers when released: (upstream, event)."""
    release = threading.Event()

    def answer(connection, request):
        assert release.wait(30)
        connection.send(response_bytes(body=b"late but whole"))

    return upstream(answer), release

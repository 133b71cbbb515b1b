"""The upstream of both proxies: it records what arrives and answers as the case says."""

import threading

from harness.message import Closed, ProtocolError
from harness.upstream import Upstream, response_bytes
from harness.waiting import wait_until


def reply(status=200, headers=(), body=b"ok", **options):
    """A script that reads the whole request and answers."""
    return send(response_bytes(status, headers, body, **options))


def send(*pieces, close=False, reset=False):
    """A script that reads the whole request, sends these bytes, and then may end the connection."""

    def script(connection, request):
        connection.reader.body(request, is_response=False)
        for piece in pieces:
            connection.send(piece)
        if reset:
            connection.reset()
        return not close and not reset

    return script


def echo(connection, request):
    """Answers with the body that came."""
    connection.reader.body(request, is_response=False)
    connection.send(response_bytes(body=request.body))
    return True


def early(status=200, headers=(), body=b"ok"):
    """Answers before it reads the body."""

    def script(connection, request):
        connection.send(response_bytes(status, headers, body))
        connection.reader.body(request, is_response=False)
        return True

    return script


def silent(connection, request):
    """Never answers; waits until the proxy gives up."""
    connection.reader.body(request, is_response=False)
    connection.peer_closed()
    return False


def drop(connection, request):
    """Ends the connection without an answer."""
    connection.reader.body(request, is_response=False)
    return False


class Backend:
    def __init__(self, name, host="127.0.0.1", default=None):
        self.name = name
        self.default = default or reply(headers=[("X-Backend", name)], body=name.encode())
        self.script = self.default
        self.seen = []
        self._lock = threading.Lock()
        self._server = Upstream(serve=self._serve, host=host)
        self.port, self.url = self._server.port, self._server.url

    def _serve(self, connection):
        keep = True
        while keep:
            request = connection.read_head()
            request.done, request.cut, request.backend = False, False, self.name
            with self._lock:
                self.seen.append(request)
            try:
                keep = self.script(connection, request)
            except (Closed, ProtocolError, OSError):
                request.cut = True
                return
            finally:
                request.done = True

    def begin(self, script):
        with self._lock:
            self.seen = []
        self.script = script or self.default

    def finish(self):
        """What arrived since `begin`, once every request was dealt with."""
        wait_until(lambda: all(request.done for request in self.seen), "the backend is done with its requests", 30)
        return self.seen

    def stop(self):
        self._server.stop()

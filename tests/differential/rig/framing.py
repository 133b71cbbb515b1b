"""What nginx, HAProxy and weir make of the same bytes: the requests that reach the server behind them."""

import os
import shutil
import subprocess
import threading

from harness.client import Client
from harness.message import Closed, ProtocolError
from harness.ports import free_port
from harness.proxy import Proxy, one_router
from harness.upstream import Upstream, response_bytes
from harness.waiting import wait_until

# A request that is not complete is given up after this.
READ_TIMEOUT_S = 2
PROBE = b"GET /probe HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n"

NGINX = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    client_header_timeout {timeout}s;
    client_body_timeout {timeout}s;
    lingering_timeout 1s;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
defaults
    mode http
    option forwardfor
    timeout connect 10s
    timeout client {timeout}s
    timeout http-request {timeout}s
    timeout server {timeout}s
frontend f
    bind 127.0.0.1:{port}
    default_backend b
backend b
    server s 127.0.0.1:{upstream}
"""


class Seen:
    """A server that notes whole requests by the address of the client that sent them."""

    def __init__(self):
        self._requests, self._lock = {}, threading.Lock()
        self.server = Upstream(serve=self._serve)

    def _serve(self, connection):
        client, message = None, None
        while True:
            try:
                message = connection.reader.head()
                client = message.all("X-Forwarded-For")[-1].split(",")[-1].strip()
                connection.reader.body(message, is_response=False)
                text = _describe(message, f"127.0.0.1:{self.server.port}")
            except ProtocolError as error:
                text = f"ambiguous ({str(error).split(' in ')[0]})"
            with self._lock:
                self._requests.setdefault(client, []).append(text)
            if text.startswith("ambiguous"):
                return
            # A tunnel would pass what follows unseen.
            connection.send(response_bytes(405 if message.method == "CONNECT" else 200, body=b"" if message.method == "HEAD" else b"ok"))

    def take(self, client):
        with self._lock:
            return self._requests.pop(client, [])


def _describe(message, own):
    text = f"{message.method} {message.target}"
    host = message.get("Host", "")
    if host == own:
        text += " at the server's address"
    elif host not in ("test.example", "a"):
        text += f" at {host!r}"
    if message.body:
        body = message.body if len(message.body) <= 5 else b"%s.. of %d" % (message.body[:5], len(message.body))
        text += f" {body.decode('latin-1')!r}"
    return text


class _Peer:
    """A program of somebody else on a file of its own."""

    def __init__(self, name, directory, text, command):
        self.seen = Seen()
        self.port = free_port()
        directory.mkdir()
        file = directory / f"{name}.conf"
        file.write_text(text.format(port=self.port, upstream=self.seen.server.port, directory=directory, timeout=READ_TIMEOUT_S))
        self._output = directory / "output.log"
        with open(self._output, "wb") as output:
            self._process = subprocess.Popen([*command, str(file)], cwd=directory, stdin=subprocess.DEVNULL, stdout=output,
                                             stderr=subprocess.STDOUT)
        wait_until(self._listens, lambda: f"{name} listens: {self._output.read_text(errors='replace')}", 30)

    def _listens(self):
        assert self._process.poll() is None, self._output.read_text(errors="replace")
        try:
            Client(self.port).close()
            return True
        except OSError:
            return False

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self.seen.server.stop()


class _Weir:
    def __init__(self, directory):
        self.seen = Seen()
        static = {"weir": {"workers": 1}, "entryPoints": {"web": {"transport": {"respondingTimeouts": {"readTimeout": f"{READ_TIMEOUT_S}s"}}}}}
        self._proxy = Proxy(directory, one_router(self.seen.server.url), static=static).start()
        self.port = self._proxy.port

    def stop(self):
        self._proxy.stop()
        self.seen.server.stop()


PEERS = {"nginx": (NGINX, ["nginx", "-e", "stderr", "-c"]), "haproxy": (HAPROXY, ["haproxy", "-db", "-f"])}


def missing():
    """Which of the programs are not there. They are installed in directories that not every user has in PATH."""
    os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"
    return [name for name in PEERS if shutil.which(name) is None]


def start(name, directory):
    return _Weir(directory) if name == "weir" else _Peer(name, directory, *PEERS[name])


def understood(peer, number, data):
    """What of the bytes, and of a last request behind them, reaches the server; `number` tells the client from others."""
    address = f"127.1.{number // 200}.{number % 200 + 1}"
    with Client(peer.port, timeout_s=60, source=address) as client:
        try:
            client.send(data + PROBE)
        except OSError:
            pass  # refused before it was all sent
        try:
            client.to_end()
        except (Closed, OSError) as error:
            assert not isinstance(error, TimeoutError), f"no end of the connection: {data!r}"
    return ", ".join(peer.seen.take(address)) or "nothing"

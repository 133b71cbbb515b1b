"""The proxies that are compared and the upstream behind them: their configuration and their processes.

All proxies have one worker and do the same for a request. "bare" ones add no header. The others tell the upstream
what Traefik tells it: X-Forwarded-For, -Host, -Port, -Proto, -Server and X-Real-Ip.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

READY_TIMEOUT_S = 60
READY_POLL_S = 0.005
STOP_TIMEOUT_S = 10

BODIES = {"128": 128, "10k": 10 * 1024, "1m": 1024 * 1024}

NGINX = """
daemon off;
worker_processes 1;
user {user};
pid {directory}/pid;
error_log {directory}/error.log error;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    tcp_nodelay on;
    {content}
}}
"""

UPSTREAM = """
    sendfile on;
    sendfile_max_chunk 0;
    open_file_cache max=16;
    open_file_cache_valid 1h;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {directory}/www;
        location = /echo {{
            default_type text/plain;
            return 200 "x-forwarded-for=$http_x_forwarded_for
x-forwarded-host=$http_x_forwarded_host
x-forwarded-port=$http_x_forwarded_port
x-forwarded-proto=$http_x_forwarded_proto
x-forwarded-server=$http_x_forwarded_server
x-real-ip=$http_x_real_ip
x-guest=$http_x_guest
";
        }}
    }}
"""

NGINX_PROXY = """
    upstream bench {{
        server 127.0.0.1:{upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_buffer_size 16k;
            proxy_buffers 16 16k;
            proxy_busy_buffers_size 64k;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            {headers}
        }}
    }}
"""

NGINX_HEADERS = """
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Server $hostname;
            proxy_set_header X-Real-Ip $remote_addr;
"""

HAPROXY_COMMON = """
global
    nbthread 1
    maxconn 16384
    no strict-limits
defaults
    mode http
    option http-keep-alive
    http-reuse always
    option splice-response
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
"""

HAPROXY = HAPROXY_COMMON + """
frontend bench
    bind 127.0.0.1:{port} backlog 4096
    default_backend bench
backend bench
    {headers}
    server upstream 127.0.0.1:{upstream}
"""

HAPROXY_HEADERS = """option forwardfor
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Server %[hostname]
    http-request set-header X-Real-Ip %[src]
"""

# One file for weir and Traefik, which ignores the key `weir`.
STATIC = """
entryPoints:
  bench:
    address: "127.0.0.1:{port}"
    transport:
      respondingTimeouts: {{ idleTimeout: 1h }}
log: {{ level: INFO }}
global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
serversTransport: {{ maxIdleConnsPerHost: 1024 }}
providers:
  file: {{ filename: dynamic.yml, watch: false }}
weir: {weir}
{plugins}
"""

STATIC_PLUGINS = """
experimental:
  localPlugins:
    guest: { moduleName: example.org/guest }
"""

DYNAMIC = """
http:
  routers:
    bench: {{ rule: "PathPrefix(`/`)", service: bench{middlewares} }}
  services:
    bench:
      loadBalancer:
        servers: [{{ url: "http://127.0.0.1:{upstream}" }}]
"""

DYNAMIC_GUEST = """
  middlewares:
    guest:
      plugin:
        guest: {config}
"""

HEADER_CONFIG = {"request": {"X-Guest": "set"}, "response": {"X-Guest-Response": "set"}}

MANIFEST = """
displayName: guest
type: middleware
runtime: wasm
summary: what the benchmark measures
testData: {}
"""


@dataclass
class Plugin:
    """The only plugin of weir or Traefik, and what weir is told about plugins."""
    module: Path
    config: dict
    options: dict = field(default_factory=dict)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def request(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": "bench.test"})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


class Peer:
    """A server process: its files in a directory of its own, pinned to one CPU."""

    def __init__(self, name, directory, cpu, group=None, cache=None):
        self.name = name
        self.directory = directory
        self.cpu = cpu
        self.group = group  # a measure.MemoryGroup
        self.cache = cache or directory  # where weir keeps compiled plugins
        self.ready_s = None  # from the start of the process to its first answer
        self.port = free_port()
        self.process = None
        directory.mkdir()

    @property
    def pid(self):
        return self.process.pid

    def start(self, *command):
        command = ["taskset", "-c", self.cpu, *command]
        if self.group:
            command = self.group.command(*command)
        began = time.monotonic()
        with open(self.directory / "output.log", "wb") as output:
            self.process = subprocess.Popen([str(word) for word in command], cwd=self.directory,
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                            env=os.environ | {"CACHE_DIRECTORY": str(self.cache)})
        self.wait_ready()
        self.ready_s = time.monotonic() - began
        return self

    def wait_ready(self):
        deadline = time.monotonic() + READY_TIMEOUT_S
        found = "no connection"
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                status, _, body = request(self.port, "/128")
                if status == 200 and len(body) == BODIES["128"]:
                    return
                found = f"status {status} with {len(body)} bytes"
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(READY_POLL_S)
        raise SystemExit(f"{self.name} does not answer ({found}):\n{self.output()}")

    def must_run(self):
        if self.process.poll() is not None:
            raise SystemExit(f"{self.name} ended with status {self.process.returncode}:\n{self.output()}")

    def output(self):
        return (self.directory / "output.log").read_text(errors="replace")

    def check(self, forwarded, guest):
        """Fails unless the proxy does to messages what its row claims."""
        for name, size in BODIES.items():
            status, _, body = request(self.port, f"/{name}")
            if status != 200 or body != b"x" * size:
                raise SystemExit(f"{self.name}: /{name}: expected 200 with {size} bytes, found {status}, {len(body)}")
        _, headers, body = request(self.port, "/echo")
        sent = dict(line.split("=", 1) for line in body.decode().splitlines())
        for name, value in sent.items():
            wanted = guest if name == "x-guest" else forwarded
            if bool(value) != wanted:
                raise SystemExit(f"{self.name}: the upstream got {name}='{value}', expected {'one' if wanted else 'none'}")
        if (headers.get("x-guest-response") == "set") != guest:
            raise SystemExit(f"{self.name}: the client got x-guest-response={headers.get('x-guest-response')}")

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _user():
    return "root" if os.geteuid() == 0 else "nobody"


def start_nginx_with(peer, content):
    file = peer.directory / "nginx.conf"
    file.write_text(NGINX.format(directory=peer.directory, user=_user(), content=content))
    return peer.start(shutil.which("nginx"), "-p", peer.directory, "-c", file, "-e", peer.directory / "error.log")


def start_upstream(directory, cpu):
    peer = Peer("the upstream", directory, cpu)
    (directory / "www").mkdir()
    for name, size in BODIES.items():
        (directory / "www" / name).write_bytes(b"x" * size)
    return start_nginx_with(peer, UPSTREAM.format(port=peer.port, directory=directory))


def start_origin(directory, cpu, ends):
    """A server that does as little as possible, so that what it serves is not held up by it."""
    peer = Peer("the origin", directory, cpu)
    return peer.start(ends, "origin", peer.port)


def start_relay(peer, upstream, ends):
    return peer.start(ends, "relay", peer.port, upstream)


def start_nginx(peer, upstream, headers):
    return start_nginx_with(peer, NGINX_PROXY.format(port=peer.port, upstream=upstream,
                                                 headers=NGINX_HEADERS if headers else ""))


def start_haproxy(peer, upstream, headers):
    file = peer.directory / "haproxy.cfg"
    file.write_text(HAPROXY.format(port=peer.port, upstream=upstream, headers=HAPROXY_HEADERS if headers else ""))
    return peer.start(shutil.which("haproxy"), "-db", "-f", file)


def start_traefik_like(peer, upstream, program, plugin=None):
    """weir or Traefik. JSON is YAML, too."""
    directory = peer.directory
    weir = {"workers": 1}
    dynamic = DYNAMIC.format(upstream=upstream, middlewares=", middlewares: [guest]" if plugin else "")
    if plugin:
        folder = directory / "plugins-local" / "src" / "example.org" / "guest"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".traefik.yml").write_text(MANIFEST)
        shutil.copy(plugin.module, folder / "plugin.wasm")
        dynamic += DYNAMIC_GUEST.format(config=json.dumps(plugin.config))
        weir |= {"plugins": plugin.options} if plugin.options else {}
    (directory / "dynamic.yml").write_text(dynamic)
    (directory / "static.yml").write_text(STATIC.format(port=peer.port, weir=json.dumps(weir),
                                                        plugins=STATIC_PLUGINS if plugin else ""))
    return peer.start(program, "--configFile=static.yml")

"""The proxies of the data path's benchmark: each listens in plain on one port, with TLS and HTTP/2 on another."""

import shutil
import subprocess

import peers

NGINX = """
    upstream bench {{
        server 127.0.0.1:{upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    upstream calls {{
        server 127.0.0.1:{calls};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    client_max_body_size 0;
    http2_max_concurrent_streams 250;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.1:{tls_port} ssl http2 backlog=4096;
        location / {{
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffer_size 16k;
            proxy_buffers 16 16k;
            proxy_busy_buffers_size 64k;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            {headers}
        }}
        location /call.Service/ {{
            grpc_pass grpc://calls;
        }}
    }}
"""

HAPROXY = peers.HAPROXY_COMMON + """
frontend bench
    bind 127.0.0.1:{port} backlog 4096
    bind 127.0.0.1:{tls_port} backlog 4096 ssl crt {bundle} alpn h2,http/1.1
    use_backend calls if {{ path_beg /call.Service/ }}
    default_backend bench
backend bench
    {headers}
    server upstream 127.0.0.1:{upstream}
backend calls
    {headers}
    server calls 127.0.0.1:{calls} proto h2
"""

# For weir and Traefik.
STATIC = """
entryPoints:
  bench:
    address: "127.0.0.1:{port}"
    transport:
      respondingTimeouts: {{ idleTimeout: 1h }}
  secure:
    address: "127.0.0.1:{tls_port}"
    transport:
      respondingTimeouts: {{ idleTimeout: 1h }}
log: {{ level: INFO }}
global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
serversTransport: {{ maxIdleConnsPerHost: 1024 }}
providers:
  file: {{ filename: dynamic.yml, watch: false }}
weir: {{ workers: 1 }}
"""

DYNAMIC = """
tls:
  stores:
    default:
      defaultCertificate: {{ certFile: {certificate}, keyFile: {key} }}
http:
  routers:
    bench: {{ rule: "PathPrefix(`/`)", entryPoints: [bench], service: bench }}
    secure: {{ rule: "PathPrefix(`/`)", entryPoints: [secure], service: bench, tls: {{}} }}
    calls: {{ rule: "PathPrefix(`/call.Service/`)", entryPoints: [secure], service: calls, tls: {{}} }}
{routers}
  services:
    bench:
      loadBalancer: {{ servers: [{{ url: "http://127.0.0.1:{upstream}" }}] }}
    calls:
      loadBalancer: {{ servers: [{{ url: "h2c://127.0.0.1:{calls}" }}] }}
"""

ROUTER = '    r{number}: {{ rule: "Host(`h{number}.test`) && PathPrefix(`/`)", entryPoints: [bench], service: bench }}\n'

# What the upstream is beside its files: what is sent to /post is read to its end before the answer (`return` alone would
# not wait for it), calls are answered in HTTP/2.
UPSTREAM = """
    sendfile on;
    sendfile_max_chunk 0;
    open_file_cache max=16;
    open_file_cache_valid 1h;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {directory}/www;
        location /post {{
            client_body_buffer_size 2m;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_pass http://127.0.0.1:{port}/read;
        }}
        location /read {{ return 200 "read"; }}
    }}
    server {{
        listen 127.0.0.1:{calls} http2 backlog=4096;
        http2_max_requests 1000000000;
        location / {{
            default_type application/grpc;
            return 200 "answered";
        }}
    }}
"""


class Keys:
    """A certificate on the curve P-256 that says nothing true, as all proxies use it."""

    def __init__(self, directory):
        self.certificate, self.key, self.bundle = directory / "bench.crt", directory / "bench.key", directory / "bench.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "30", "-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test", "-keyout", self.key,
                        "-out", self.certificate], check=True, stderr=subprocess.DEVNULL)
        self.bundle.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())


class Upstream(peers.Peer):
    """`calls_port` speaks HTTP/2 without TLS."""

    def __init__(self, directory, cpu):
        super().__init__("the upstream", directory, cpu)
        self.calls_port = peers.free_port()
        www = directory / "www"
        www.mkdir()
        for name, size in peers.BODIES.items():
            (www / name).write_bytes(b"x" * size)
        peers.start_nginx_with(self, UPSTREAM.format(port=self.port, calls=self.calls_port, directory=directory))


class Proxy(peers.Peer):
    def __init__(self, name, directory, cpu, keys, upstream):
        super().__init__(name, directory, cpu)
        self.tls_port = peers.free_port()
        self.values = {"port": self.port, "tls_port": self.tls_port, "certificate": keys.certificate, "key": keys.key,
                       "bundle": keys.bundle, "upstream": upstream.port, "calls": upstream.calls_port}


def start_nginx(proxy):
    peers.start_nginx_with(proxy, NGINX.format(headers=peers.NGINX_HEADERS, **proxy.values))


def start_haproxy(proxy):
    file = proxy.directory / "haproxy.cfg"
    file.write_text(HAPROXY.format(headers=peers.HAPROXY_HEADERS, **proxy.values))
    proxy.start(shutil.which("haproxy"), "-db", "-f", file)


def start_traefik_like(proxy, program, routers=0):
    """weir or Traefik, with so many more routers, one for each host."""
    more = "".join(ROUTER.format(number=number) for number in range(routers))
    (proxy.directory / "static.yml").write_text(STATIC.format(**proxy.values))
    (proxy.directory / "dynamic.yml").write_text(DYNAMIC.format(routers=more, **proxy.values))
    proxy.start(program, "--configFile=static.yml")

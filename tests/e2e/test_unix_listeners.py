"""Entry points that listen on Unix sockets."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading

import pytest

from harness import h2
from harness.certificates import Authority
from harness.client import Client, fetch, request_bytes
from harness.load import together
from harness.message import Closed
from harness.process import server as server_of
from harness.proxy import merge, one_router, program, run_command, servers
from harness.tls import TlsClient
from harness.upstream import held, response_bytes
from harness.waiting import wait_until
from harness.yaml import to_yaml

pytestmark = pytest.mark.differs("Traefik listens on TCP only")

SUPERVISED = pytest.mark.parametrize("supervised", [True, False])
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 4660 80\r\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "web.sock"


def listening(path, options=None, **static):
    """Static options with the entry point `sock`."""
    return merge({"entryPoints": {"sock": {"address": f"unix://{path}"} | (options or {})}}, static)


def supervision(supervised):
    return {"weir": {"supervisor": {"enabled": supervised}}}


def start_fails(p):
    """Of a proxy that has been made, but not started."""
    p.choose_ports()
    p.write_files()
    return run_command(p.directory, "--configFile=static.yml")


# --- requests


def test_requests(upstream, proxy, path):
    server = upstream()
    p = proxy(one_router(server.url), static=listening(path, weir={"workers": 3}), metrics=True)
    body = os.urandom(3 << 20)
    with p.connect("sock") as client:
        for _ in range(3):
            assert client.exchange().body == b"ok"
        assert client.exchange("POST", body=body).status == 200
    assert server.requests[-1].body == body
    before = p.scrape().value("weir_entrypoint_connections_total", entrypoint="sock")
    assert together(16, lambda _: p.fetch(entry_point="sock").status) == [200] * 16
    metrics = p.scrape()
    assert metrics.value("weir_entrypoint_connections_total", entrypoint="sock") == before + 16
    assert metrics.value("traefik_entrypoint_requests_total", entrypoint="sock", code="200", method="GET", protocol="http") == 19


def test_long_responses(upstream, proxy, path):
    body = os.urandom(5 << 20)
    p = proxy(one_router(upstream(lambda connection, request: connection.send(response_bytes(body=body))).url), static=listening(path))
    with p.connect("sock") as client:
        for _ in range(3):
            assert client.exchange().body == body


def test_http2(upstream, proxy, path):
    p = proxy(one_router(upstream().url), static=listening(path))
    with p.connect("sock") as client:
        client.send(h2.PREFACE + h2.frame(h2.SETTINGS) + h2.request("/"))
        assert h2.answer(client.reader) == (200, b"ok", "ended")


def test_tls(upstream, proxy, path, tmp_path):
    ca = Authority(tmp_path)
    certificate = ca.issue("a.example")
    configuration = merge(one_router(upstream().url), {"tls": {"certificates": [certificate.pair]}})
    p = proxy(configuration, static=listening(path, {"http": {"tls": {}}}))
    with TlsClient(str(path), "a.example") as client:
        assert client.exchange(host="a.example").body == b"ok"
        assert client.certificate == certificate.der
    with TlsClient(str(path), None) as client:
        assert client.exchange(host="a.example").body == b"ok"
    assert p.running


def test_api_shows_the_address(upstream, proxy, path):
    p = proxy(one_router(upstream().url), static=listening(path, api={"insecure": True, "dashboard": False}, entryPoints={"traefik": {}}))
    shown = json.loads(p.fetch(target="/api/entrypoints/sock", entry_point="traefik").body)
    assert (shown["address"], shown["unixSocket"]) == (f"unix://{path}", {"mode": "0660"})


def test_healthcheck(upstream, proxy, path):
    p = proxy(one_router(upstream().url), static=listening(path, ping={"entryPoint": "sock"}))
    code, output = run_command(p.directory, "healthcheck", "--configFile=static.yml")
    assert (code, output) == (0, f"OK: http://localhost/ping through unix://{path}\n")
    p.stop()
    code, output = run_command(p.directory, "healthcheck", "--configFile=static.yml")
    assert code == 1 and output.startswith(f"Error calling healthcheck through unix://{path}: "), output  # named port 80


# --- the client


def test_client_has_no_address(upstream, proxy, path):
    """Headers and logs name none; networks hold it not."""
    server, guard = upstream(), upstream()
    routers = {
        "any": {"rule": "PathPrefix(`/`)", "service": "s", "priority": 1},
        "listed": {"rule": "Path(`/listed`)", "service": "s", "middlewares": ["all"]},
        "guarded": {"rule": "Path(`/guarded`)", "service": "s", "middlewares": ["guard"]},
        "trusting": {"rule": "Path(`/trusting`)", "service": "s", "middlewares": ["trusting-guard"]},
        "by-address": {"rule": "Path(`/by-address`) && (ClientIP(`0.0.0.0/0`) || ClientIP(`::/0`))", "service": "none"}}
    middlewares = {"all": {"ipAllowList": {"sourceRange": ["0.0.0.0/0", "::/0"]}},
                   "guard": {"forwardAuth": {"address": guard.url}},
                   "trusting-guard": {"forwardAuth": {"address": guard.url, "trustForwardHeader": True}}}
    p = proxy({"http": {"routers": routers, "middlewares": middlewares, "services": {"s": servers(server.url), "none": servers()}}},
              static=listening(path, {"forwardedHeaders": {"insecure": True}}, accessLog={"format": "json", "filePath": "access.log"}))
    said = [("X-Forwarded-For", "192.0.2.7"), ("X-Real-Ip", "192.0.2.8")]
    with p.connect("sock") as client:
        assert client.exchange().status == 200
        assert client.exchange(headers=said).status == 200
        assert client.exchange(target="/listed").status == 403
        assert client.exchange(target="/by-address").status == 200
        assert client.exchange(target="/guarded", headers=said).status == 200
        assert client.exchange(target="/trusting", headers=said).status == 200
    assert p.fetch(target="/listed").status == 200
    assert p.fetch(target="/by-address").status == 503
    first, second = server.requests[:2]
    assert (first.get("X-Forwarded-For"), first.get("X-Real-Ip"), first.get("X-Forwarded-Proto")) == (None, None, "http")
    assert (second.get("X-Forwarded-For"), second.get("X-Real-Ip")) == ("192.0.2.7", "192.0.2.8")
    assert [r.get("X-Forwarded-For") for r in guard.requests] == [None, "192.0.2.7"]
    log = p.directory / "access.log"
    wait_until(lambda: log.read_text().count("\n") >= 8, "all requests are logged")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    first = next(line for line in lines if line.get("entryPointName") == "sock")
    assert (first["ClientAddr"], first["ClientHost"], first["ClientPort"]) == ("@", "@", "-")


def test_untrusted_client_says_nothing(upstream, proxy, path):
    server = upstream()
    p = proxy(one_router(server.url), static=listening(path, {"forwardedHeaders": {"trustedIPs": ["0.0.0.0/0", "::/0"]}}))
    assert p.fetch(entry_point="sock", headers=[("X-Forwarded-For", "192.0.2.7")]).status == 200
    assert server.last.get("X-Forwarded-For") is None
    p.wait_log("entryPoints.sock.forwardedHeaders.trustedIPs holds no client of a Unix socket")


def test_a_name_that_the_client_gives_itself_is_not_shown(upstream, proxy, path, tmp_path):
    p = proxy(one_router(upstream().url), static=listening(path, accessLog={"filePath": "access.log"}))
    with socket.socket(socket.AF_UNIX) as client:
        client.bind(b"\0" + f"192.0.2.1:{os.getpid()}".encode())
        client.connect(str(path))
        client.sendall(request_bytes(headers=[("Connection", "close")]))
        while client.recv(65536):
            pass
    log = p.directory / "access.log"
    wait_until(lambda: "@ - - [" in log.read_text(), "it is logged")
    assert "192.0.2.1" not in log.read_text()


def test_proxy_protocol(upstream, proxy, path):
    server = upstream()
    p = proxy(one_router(server.url, rule="ClientIP(`192.0.2.0/24`)"), static=listening(path, {"proxyProtocol": {"insecure": True}}))
    with p.connect("sock") as client:
        client.send(V1)
        assert client.exchange().status == 200
    assert server.last.get("X-Forwarded-For") == "192.0.2.1"
    with p.connect("sock") as client:
        assert client.exchange().status == 404


# --- the file


def test_permissions(upstream, proxy, path):
    p = proxy(one_router(upstream().url), static=listening(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    p.stop()
    group = os.getgroups()[0] if os.getgroups() else os.getgid()
    proxy(one_router(upstream().url), static=listening(path, {"unixSocket": {"mode": "0606", "group": str(group)}}))
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (0o606, group)


@pytest.mark.parametrize(("options", "why"), [
    ({"unixSocket": {"mode": "rw"}}, "entryPoints.sock.unixSocket.mode: found \"rw\", expected octal digits"),
    ({"unixSocket": {"group": "no-such-group"}}, "there is no group \"no-such-group\""),
    ({"address": "unix:///" + "x" * 107}, "expected unix:///path of a socket, of at most 107 bytes"),
    ({"address": "unix:/run/web.sock"}, "expected unix:///path of a socket"),
    ({"address": "unix:///nonexistent/directory/web.sock"}, "listen unix:///nonexistent/directory/web.sock: No such file or directory"),
])
def test_what_cannot_be(proxy, path, options, why):
    p = proxy(one_router("http://127.0.0.1:1"), start=False, static=listening(path, options))
    code, output = start_fails(p)
    assert code == 1 and why in output, output
    assert not path.exists()


def test_longest_path(upstream, proxy, tmp_path):
    path = f"{tmp_path}/" + "x" * (107 - len(f"{tmp_path}/"))
    assert proxy(one_router(upstream().url), static=listening(path)).fetch(entry_point="sock").status == 200


@SUPERVISED
def test_file_goes_at_the_end(upstream, proxy, path, supervised):
    p = proxy(one_router(upstream().url), static=listening(path, **supervision(supervised)))
    assert p.fetch(entry_point="sock").status == 200
    p.stop()
    assert not path.exists()


@SUPERVISED
def test_file_that_is_left_over_is_replaced(upstream, proxy, path, supervised):
    p = proxy(one_router(upstream().url), static=listening(path, **supervision(supervised)))
    server = p.pid
    p.kill()
    p.expected_exit = -signal.SIGKILL
    wait_until(lambda: not os.path.exists(f"/proc/{server}"), "the server has gone")
    assert path.is_socket()
    p.spawn()
    p.expected_exit = 0
    p.wait_listening()
    p.wait_version()
    assert p.fetch(entry_point="sock").status == 200


def test_socket_of_others_stays(upstream, proxy, path):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        code, output = start_fails(proxy(one_router(upstream().url), start=False, static=listening(path)))
        assert code == 1 and f"entryPoints.sock: listen unix://{path}: address already in use" in output, output
    assert path.is_socket()


def test_what_is_no_socket_stays(upstream, proxy, path):
    path.write_text("precious")
    code, output = start_fails(proxy(one_router(upstream().url), start=False, static=listening(path)))
    assert code == 1 and "found a file that is no socket" in output, output
    assert path.read_text() == "precious"


def test_file_goes_when_the_start_fails(upstream, proxy, path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        static = listening(path, entryPoints={"z": {"address": f"127.0.0.1:{taken.getsockname()[1]}"}})
        code, output = start_fails(proxy(one_router(upstream().url), start=False, static=static))
    assert code == 1 and "entryPoints.z" in output and "already in use" in output, output
    assert not path.exists()


@SUPERVISED
def test_successor_keeps_its_file(upstream, proxy, path, supervised):
    """The old process still drains when the new one listens; its end leaves the file alone."""
    server, release = held(upstream)
    old = proxy(one_router(server.url), static=listening(path, **supervision(supervised)))
    with old.connect("sock") as client:
        client.send(request_bytes())
        server.wait_requests()
        old.terminate()
        wait_until(lambda: refuses(path), "the old process takes no connections")
        new = proxy(one_router(upstream().url), static=listening(path, **supervision(supervised)))
        release.set()
        assert client.response().body == b"late but whole"
    assert old.wait_exit() == 0
    assert new.fetch(entry_point="sock").body == b"ok"


def refuses(path):
    try:
        Client(path).close()
    except ConnectionRefusedError:
        return True
    return False


# --- the server dies, and upgrades


class Steady:
    """A client that asks one request per connection, without pause."""

    def __init__(self, path):
        self.path, self.stopping, self.good, self.bad = path, threading.Event(), 0, []
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.stopping.is_set():
            try:
                assert fetch(self.path).status == 200
                self.good += 1
            except (AssertionError, Closed, OSError) as error:
                self.bad.append(error)

    def more(self):
        before = self.good
        wait_until(lambda: self.good >= before + 20, "requests are answered", 60)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


def test_server_that_dies_leaves_the_socket(upstream, proxy, path):
    p = proxy(one_router(upstream().url), static=listening(path), check_output=False)
    inode = path.stat().st_ino
    os.kill(p.pid, signal.SIGKILL)
    assert p.fetch(entry_point="sock").status == 200
    assert path.stat().st_ino == inode
    p.stop()
    assert not path.exists()


def upgrade(p):
    old = p.pid
    p.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: not os.path.exists(f"/proc/{old}"), lambda: f"the old server has gone\n{p.log()}", 60)


def test_upgrade_loses_nothing(upstream, proxy, path):
    p = proxy(one_router(upstream().url), static=listening(path, weir={"workers": 2}), check_output=False)
    inode = path.stat().st_ino
    with Steady(path) as load:
        for _ in range(2):
            load.more()
            upgrade(p)
        load.more()
    assert load.bad == [], f"{load.bad[0]!r}\n{p.log()}"
    assert path.stat().st_ino == inode
    p.stop()
    assert not path.exists()


def test_upgrade_with_another_mode(upstream, proxy, path):
    """The file kept the mode that it was made with. One that cannot be given away leaves the old server as it is."""
    p = proxy(one_router(upstream().url), static=listening(path, {"unixSocket": {"mode": "0666"}}), check_output=False)

    def change(options):
        p.static_extra = listening(path, {"unixSocket": options})
        (p.directory / "static.yml").write_text(to_yaml(p.static_configuration()))

    inode = path.stat().st_ino
    change({"mode": "0600"})
    upgrade(p)
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_ino) == (0o600, inode)
    change({"mode": "0666", "group": "no-such-group"})
    p.process.send_signal(signal.SIGUSR2)
    p.wait_log("The upgraded server cannot be started; the old one goes on", "there is no group")
    assert p.fetch(entry_point="sock").status == 200
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    p.stop()
    assert not path.exists()


def test_upgrade_to_other_sockets(upstream, proxy, path, tmp_path):
    """A path that has changed, a socket in place of a port, and one that is gone: at the end no file is left. What the new server
    says to the supervisor used to get lost where a descriptor had become free."""
    static = listening(path, entryPoints={"gone": {"address": f"unix://{tmp_path}/gone.sock"}, "turned": {}})
    p = proxy(one_router(upstream().url), static=static, check_output=False)
    p.static_extra = listening(tmp_path / "new.sock", entryPoints={"turned": {"address": f"unix://{tmp_path}/turned.sock"}})
    del p.ports["gone"]
    (p.directory / "static.yml").write_text(to_yaml(p.static_configuration()))
    upgrade(p)
    p.ports.update(sock=str(tmp_path / "new.sock"), turned=str(tmp_path / "turned.sock"))
    for name in ("web", "sock", "turned"):
        assert p.fetch(entry_point=name).status == 200
    assert refuses(path) and refuses(tmp_path / "gone.sock")
    p.stop()
    assert list(tmp_path.glob("*.sock")) == []


# --- sockets of the service manager

ACTIVATE = r"""
import os, sys
fds = [int(n) for n in sys.argv[1].split(",")]
high = [os.dup2(os.dup(fd), 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
if sys.argv[2]:
    os.environ["LISTEN_FDNAMES"] = sys.argv[2]
os.execv(sys.argv[3], sys.argv[3:])
"""


def activated(p, sockets, names):
    """Starts a proxy with these sockets, as systemd does."""
    fds = ",".join(str(s.fileno()) for s in sockets)
    with open(p.directory / "output.log", "wb") as output:
        p.process = subprocess.Popen([sys.executable, "-c", ACTIVATE, fds, names, program(), "--configFile=static.yml"], cwd=p.directory,
                                     stdout=output, stderr=subprocess.STDOUT, pass_fds=[s.fileno() for s in sockets])


def bound(family, address):
    s = socket.socket(family)
    s.bind(address)
    s.listen()
    return s


@SUPERVISED
def test_sockets_of_the_service_manager(upstream, proxy, path, tmp_path, supervised):
    """TCP of both families and a Unix socket; weir leaves their file alone, also after an upgrade."""
    other = tmp_path / "other.sock"
    p = proxy(one_router(upstream().url), start=False, check_output=False, metrics=True,
              static=listening(path, entryPoints={"six": {}, "LISTEN_FD_6": {}, "ours": {"address": f"unix://{other}"}}, **supervision(supervised)))
    p.choose_ports()
    p.write_files()
    with bound(socket.AF_INET, ("127.0.0.1", 0)) as four, bound(socket.AF_INET6, ("::1", 0)) as six, \
            bound(socket.AF_UNIX, str(path)) as unix, bound(socket.AF_INET, ("127.0.0.1", 0)) as nameless, \
            bound(socket.AF_INET, ("127.0.0.1", 0)) as surplus:
        activated(p, [four, six, unix, nameless, surplus], "web:six:sock::nobody")
        configured = dict(p.ports)
        p.ports["web"], p.ports["LISTEN_FD_6"] = four.getsockname()[1], nameless.getsockname()[1]
        p.wait_version()
        p.wait_log("A socket that was handed over is not used", "name=nobody")

        def all_serve():
            for name in ("web", "sock", "LISTEN_FD_6", "ours"):
                assert p.fetch(entry_point=name).status == 200
            with Client(six.getsockname()[1], host="::1") as client:
                assert client.exchange().status == 200
            for name in ("web", "six", "LISTEN_FD_6"):
                with pytest.raises(ConnectionRefusedError):
                    Client(configured[name]).close()

        all_serve()
        # What systemd leaves to the program.
        assert four.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) and six.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if supervised:
            os.kill(server_of(p.process.pid), signal.SIGKILL)
            all_serve()
            upgrade(p)
            all_serve()
        p.terminate()
        assert p.wait_exit() == 0
        assert path.is_socket() and not other.exists()
        # Who comes then waits for the next process; nobody has connected to it meanwhile.
        unix.settimeout(0)
        with pytest.raises(BlockingIOError):
            unix.accept()

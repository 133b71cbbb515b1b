"""Start, stop, commands and limits of the process."""

import os
import resource
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from harness.client import Client, request_bytes
from harness.load import together
from harness.message import Closed
from harness.ports import free_port
from harness.proxy import memory_tells, one_router, program, run_command
from harness.upstream import held
from harness.waiting import wait_until


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return False
    except OSError:
        return True


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_graceful_stop_finishes_the_request(upstream, proxy, signum):
    server, release = held(upstream)
    p = proxy(one_router(server.url))
    with p.connect() as client:
        client.send(request_bytes())
        server.wait_requests()
        p.process.send_signal(signum)
        wait_until(lambda: refuses(p.port), "the proxy stops listening")
        release.set()
        response = client.response()
        assert (response.status, response.body) == (200, b"late but whole")
        assert client.to_end() == b""
    assert p.wait_exit() == 0


@pytest.mark.differs("Traefik closes idle connections at once")
def test_stop_under_load_loses_no_request(upstream, proxy):
    """Clients that go on until an answer says that the connection ends get an answer to everything they sent."""
    p = proxy(one_router(upstream().url))
    started = threading.Barrier(31)

    def until_told(_):
        with p.connect() as client:
            assert client.exchange().status == 200
            started.wait(60)
            response = client.exchange()
            while response.get("Connection") != "close":
                response = client.exchange()
            return response.status

    stop = threading.Thread(target=lambda: (started.wait(60), p.terminate()))
    stop.start()
    assert together(30, until_told) == [200] * 30
    stop.join()
    assert p.wait_exit() == 0


def test_grace_timeout_ends_the_wait(upstream, proxy):
    server, release = held(upstream)
    p = proxy(one_router(server.url), static={"entryPoints": {"web": {"transport": {"lifeCycle": {"graceTimeOut": "300ms"}}}}})
    with p.connect() as client:
        client.send(request_bytes())
        server.wait_requests()
        p.terminate()
        assert p.wait_exit(15) == 0
        with pytest.raises(Closed):
            client.response()
    release.set()


@pytest.mark.differs("Traefik waits for connections that never sent a request")
def test_idle_connections_do_not_delay_the_stop(relay):
    proxy, _ = relay
    clients = [proxy.connect() for _ in range(20)]
    for client in clients[:10]:
        client.exchange()
    proxy.terminate()
    assert proxy.wait_exit(8) == 0
    for client in clients:
        try:
            assert client.to_end() == b""
        except Closed as closed:
            assert closed.reset


def test_request_accept_grace(upstream, proxy):
    server = upstream()
    p = proxy(one_router(server.url),
              static={"entryPoints": {"web": {"transport": {"lifeCycle": {"requestAcceptGraceTimeout": "2s"}}}}})
    p.terminate()
    assert p.fetch().status == 200
    wait_until(lambda: refuses(p.port), "the proxy stops listening")
    assert p.wait_exit() == 0


def test_restart_on_the_same_port(relay):
    proxy, _ = relay
    with proxy.connect() as client:
        client.exchange()
        proxy.terminate()
        assert proxy.wait_exit() == 0
        proxy.spawn()
        proxy.wait_listening()
        proxy.wait_version()
    assert proxy.fetch().status == 200


def test_version(tmp_path):
    code, output = run_command(tmp_path, "version")
    assert code == 0
    assert "Version:" in output
    assert "OS/Arch:" in output


def test_healthcheck(upstream, proxy):
    p = proxy(one_router(upstream().url), start=False, static={"entryPoints": {"web": {}, "traefik": {}}, "ping": {}})
    p.start()
    code, output = run_command(p.directory, "healthcheck", "--configFile=static.yml")
    assert (code, "OK" in output) == (0, True), output
    p.terminate()
    p.wait_exit()
    assert run_command(p.directory, "healthcheck", "--configFile=static.yml")[0] == 1


def test_ping(upstream, proxy):
    p = proxy(one_router(upstream().url), static={"entryPoints": {"web": {}, "traefik": {}}, "ping": {}})
    response = p.fetch(target="/ping", entry_point="traefik")
    assert (response.status, response.body) == (200, b"OK")


@pytest.mark.differs("Traefik has no such command")
def test_check_accepts_a_good_configuration(relay):
    proxy, _ = relay
    code, output = run_command(proxy.directory, "check", "--configFile=static.yml")
    assert code == 0, output


@pytest.mark.differs("the name of the option's command line is weir's")
def test_help_names_every_command(tmp_path):
    code, output = run_command(tmp_path, "--help")
    assert code == 0
    for word in ("check", "version", "healthcheck", "--configFile", "--entryPoints"):
        assert word in output, word


def test_configuration_by_flags(upstream, proxy):
    p = proxy(one_router(upstream().url), start=False)
    p.ports = {name: free_port() for name in p.entry_point_names()}
    p.write_files()
    (p.directory / "static.yml").unlink()
    p.spawn([f"--entryPoints.web.address=127.0.0.1:{p.port}", "--providers.file.filename=dynamic.yml",
             "--log.level=INFO", "--global.checkNewVersion=false"])
    p.wait_listening()
    p.wait_version()
    assert p.fetch().status == 200


def test_configuration_by_environment(upstream, proxy):
    p = proxy(one_router(upstream().url), start=False)
    p.ports = {name: free_port() for name in p.entry_point_names()}
    p.write_files()
    (p.directory / "static.yml").unlink()
    p.environment = {"TRAEFIK_ENTRYPOINTS_WEB_ADDRESS": f"127.0.0.1:{p.port}", "TRAEFIK_LOG_LEVEL": "INFO",
                     "TRAEFIK_PROVIDERS_FILE_FILENAME": "dynamic.yml", "TRAEFIK_GLOBAL_CHECKNEWVERSION": "false"}
    p.spawn([])
    p.wait_listening()
    p.wait_version()
    assert p.fetch().status == 200


@pytest.mark.differs("Traefik ignores write errors of its log in other ways")
def test_full_disk_under_the_log(upstream, proxy):
    """/dev/full answers every write with ENOSPC."""
    p = proxy(one_router(upstream().url), static={"log": {"level": "DEBUG", "filePath": "/dev/full"}})
    for _ in range(50):
        assert p.fetch().status == 200
    with p.flat():
        for _ in range(200):
            assert p.fetch().status == 200


def test_out_of_descriptors(upstream, proxy):
    """At the limit some clients wait or are turned away; when there is room again all is well."""
    p = proxy(one_router(upstream().url), limits={resource.RLIMIT_NOFILE: 128}, static={"weir": {"workers": 1}})
    clients = []
    try:
        for _ in range(200):
            client = Client(p.port, timeout_s=5)
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Unfinished:")
            clients.append(client)
    except OSError:
        pass
    assert p.running
    for client in clients:
        client.close()
    wait_until(lambda: _answers(p), "an answer after the shortage", 20)
    assert p.running


def _answers(p):
    try:
        return p.fetch(timeout_s=2).status == 200
    except (Closed, OSError):
        return False


@pytest.mark.slow
def test_ten_thousand_idle_connections(upstream, proxy, capsys):
    """One worker holds them all, still answers, and needs little memory for each."""
    count, soft = 10000, resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft[1], soft[1]))
    if soft[1] < count + 500:
        pytest.skip(f"only {soft[1]} descriptors allowed")
    p = proxy(one_router(upstream().url), static={"weir": {"workers": 1}})
    for _ in range(100):
        p.fetch()
    before = p.pss_bytes
    clients = []
    for i in range(count):
        client = Client(p.port, source=f"127.0.0.{2 + i % 4}")
        client.send(request_bytes())
        clients.append(client)
        if len(clients) % 100 == 0:
            for waiting in clients[-100:]:
                assert waiting.response().status == 200
    per_connection = (p.pss_bytes - before) / count
    with capsys.disabled():
        print(f"\n{count} keep-alive connections: {per_connection:.0f} bytes each")
    assert p.fetch().status == 200
    for client in clients[::1000]:
        assert client.exchange().status == 200
    if memory_tells():
        assert per_connection < 4096
    for client in clients:
        client.close()
    wait_until(lambda: p.descriptors < 200, "the connections are gone", 30)


def catches(pid, signum):
    """Whether the process has a handler for the signal, as the kernel says."""
    """Whether a handler or a descriptor takes the signal, which then does not end the process. All signals are blocked
    for a moment only, while a thread begins."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught, blocked = (next(int(line.split()[1], 16) for line in lines if line.startswith(name)) for name in ("SigCgt:", "SigBlk:"))
    if blocked >> (signal.SIGWINCH - 1) & 1:
        return False
    return bool((caught | blocked) >> (signum - 1) & 1)


@pytest.mark.differs("a reload in Traefik's first moments ends it")
def test_a_reload_during_the_start_waits(upstream, proxy, tmp_path):
    """The start stands still in the opening of the log, a pipe that nobody reads."""
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    p = proxy(one_router(upstream().url), start=False, static={"log": {"filePath": str(pipe)}})
    p.start(wait=False)
    wait_until(lambda: catches(p.process.pid, signal.SIGHUP) and catches(p.process.pid, signal.SIGUSR1), "the signals are caught")
    p.process.send_signal(signal.SIGHUP)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        p.wait_version()
        assert p.fetch().status == 200
        p.terminate()
        assert p.wait_exit() == 0
    finally:
        os.close(reader)


@pytest.mark.differs("Go leaves closed descriptors closed")
def test_closed_standard_descriptors_become_nothing(upstream, proxy):
    """A socket that got number 2 would be sent weir's messages."""
    p = proxy(one_router(upstream().url), start=False, static={"log": {"filePath": "weir.log"}})
    p.start(wait=False)
    p.kill()

    def close_standard():
        for fd in range(3):
            os.close(fd)

    p.process = subprocess.Popen([program(), "--configFile=static.yml"], cwd=p.directory, preexec_fn=close_standard)
    p.wait_listening()
    p.wait_version()
    assert [os.readlink(f"/proc/{p.pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    p.terminate()
    assert p.wait_exit() == 0


@pytest.mark.differs("Traefik says so before it has a configuration")
def test_ready_is_said_once_requests_are_routed(upstream, proxy, tmp_path):
    """systemd's notification protocol: READY=1 comes when the first configuration is in effect, STOPPING=1 at the end."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(path)
        notifications.settimeout(15)
        p = proxy(one_router(upstream().url), start=False, environment={"NOTIFY_SOCKET": path})
        p.ports = {name: free_port() for name in p.entry_point_names()}
        p.write_files()
        p.spawn()
        assert notifications.recv(100) == b"READY=1"
        assert p.fetch().body == b"ok"
        p.terminate()
        assert notifications.recv(100) == b"STOPPING=1"
        assert p.wait_exit() == 0

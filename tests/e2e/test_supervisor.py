"""The supervisor: a server that dies is replaced, a newer program takes over, and nobody is refused meanwhile."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness import process
from harness.client import fetch, request_bytes
from harness.message import Closed
from harness.ports import free_port
from harness.proxy import Plugin, Proxy, memory_tells, merge, one_router, program, run_command
from harness.upstream import answer_ok, held
from harness.waiting import wait_until
from harness.yaml import to_yaml

pytestmark = pytest.mark.differs("Traefik has no supervisor")

DIED = "The server died; it is started again"


def servers_of(p):
    return [child for child in process.children(p.process.pid) if process.server(p.process.pid) != p.process.pid
            and b"weir: server" in Path(f"/proc/{child}/cmdline").read_bytes()]


def kill_server(p, signum=signal.SIGKILL):
    """Returns the number of the server that was killed, once it is gone."""
    victim = p.pid
    assert victim != p.process.pid
    os.kill(victim, signum)
    wait_until(lambda: not Path(f"/proc/{victim}").exists(), "the server is gone")
    return victim


def status_of(pid, name):
    """A line of /proc/PID/status."""
    return next(line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(f"{name}:"))


class Steady:
    """Clients that ask one request per connection, without pause, and count what happened."""

    def __init__(self, port, clients=4):
        self.port, self.stopping = port, threading.Event()
        self.good, self.cut, self.refused, self.bad = 0, 0, 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _ask(self):
        try:
            status = fetch(self.port, timeout_s=20).status
        except ConnectionRefusedError:
            return "refused"
        except (Closed, OSError):
            return "cut"
        return "good" if status == 200 else status

    def _run(self):
        while not self.stopping.is_set():
            outcome = self._ask()
            with self.lock:
                if isinstance(outcome, int):
                    self.bad.append(outcome)
                else:
                    setattr(self, outcome, getattr(self, outcome) + 1)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def test_a_killed_server_is_replaced(upstream, proxy):
    p = proxy(one_router(upstream().url), check_output=False)
    first = kill_server(p)
    assert p.fetch().status == 200
    assert p.pid != first
    assert DIED in p.wait_log(DIED)


def test_restarts_are_counted(upstream, proxy):
    p = proxy(one_router(upstream().url), static={"entryPoints": {"metrics": {}}, "metrics": {"prometheus": {"entryPoint": "metrics"}}}, check_output=False)
    assert "weir_server_restarts_total 0\n" in p.fetch(target="/metrics", entry_point="metrics").body.decode()
    kill_server(p)
    assert "weir_server_restarts_total 1\n" in p.fetch(target="/metrics", entry_point="metrics").body.decode()


def test_kills_under_load_cost_requests_in_flight_only(upstream, proxy):
    """Each kill can cut what is in progress; nobody is refused, and nobody gets a wrong answer. With WEIR_LONG one each
    second for a minute."""
    p = proxy(one_router(upstream().url), check_output=False)
    kills, clients, pause_s = (60, 4, 1) if "WEIR_LONG" in os.environ else (5, 4, 0)
    with Steady(p.port, clients) as load:
        for _ in range(kills):
            before, until = load.good, time.monotonic() + pause_s
            wait_until(lambda: load.good >= before + 20 and time.monotonic() >= until, "requests are answered", 30)
            kill_server(p)
    print(f"{kills} kills, {load.good} answered, {load.cut} cut, {load.refused} refused")
    assert (load.refused, load.bad) == (0, [])
    # What the kernel had accepted for the dead server is lost with it: at most a few per client and kill.
    assert load.cut <= kills * clients * 2, load.cut


@pytest.mark.skipif(not memory_tells(), reason="sanitizers report in their own way, and what they report is a failure")
@pytest.mark.parametrize("signum", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_says_what_it_was(upstream, proxy, signum):
    p = proxy(one_router(upstream().url), check_output=False)
    kill_server(p, signum)
    assert p.fetch().status == 200
    log = p.wait_log(DIED, f"signal {signum.value} (")
    assert f"weir: the server dies of signal {signum.value}" in log
    assert ", thread weir" in log


@pytest.mark.skipif(not memory_tells(), reason="sanitizers report in their own way, and what they report is a failure")
def test_a_crash_of_a_server_with_plugins_is_told_once(upstream, proxy):
    """The engine has a handler of its own for the signals of faults, before ours."""
    p = proxy(one_router(upstream().url, plugin={"guest": {}}), plugins={"guest": Plugin("fail")}, check_output=False)
    assert p.fetch().status == 200
    kill_server(p, signal.SIGSEGV)
    assert p.fetch().status == 200
    assert p.wait_log(DIED).count("weir: the server dies of signal") == 1


def test_a_server_that_dies_at_once_is_started_less_and_less_often(upstream, proxy):
    """A configuration that the server cannot start with, after the supervisor has."""
    p = proxy(one_router(upstream().url), check_output=False)
    static = p.directory / "static.yml"
    good = static.read_text()
    static.write_text("nonsense: true\n")
    kill_server(p)
    p.wait_log("exit status 1", "pauseMs=50", "pauseMs=100", "pauseMs=200")
    static.write_text(good)
    assert fetch(p.port, timeout_s=30).status == 200


def test_a_start_that_fails_ends(tmp_path):
    (tmp_path / "static.yml").write_text("entryPoints: {web: {address: \":notaport\"}}\n")
    code, output = run_command(tmp_path, "--configFile=static.yml")
    assert code == 1
    assert output.count("error:") == 1, output


def test_warnings_come_once(upstream, proxy):
    p = proxy(one_router(upstream().url), static={"global": {"sendAnonymousUsage": False}, "accessLog": {}})
    log = p.log()
    warnings = [line for line in log.splitlines() if "accessLog" in line]
    assert len(warnings) <= 1, log


def test_signals_reach_the_server(upstream, proxy):
    p = proxy(one_router(upstream().url), static={"log": {"filePath": "weir.log", "level": "INFO"}})
    (p.directory / "weir.log").rename(p.directory / "old.log")
    p.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: (p.directory / "weir.log").exists(), "the log is opened again")
    p.terminate()
    assert p.wait_exit() == 0
    assert "I have to go" in (p.directory / "weir.log").read_text()


def test_ctrl_c_is_one_signal(upstream, proxy):
    """A terminal sends SIGINT to the whole group; two of them would end the server at once."""
    p = proxy(one_router(upstream().url), start=False)
    p.ports = {name: free_port() for name in p.entry_point_names()}
    p.write_files()
    p._output = open(p.directory / "output.log", "wb")
    p.process = subprocess.Popen([program(), "--configFile=static.yml"], cwd=p.directory, stdout=p._output,
                                 stderr=subprocess.STDOUT, start_new_session=True)
    p._output.close()
    p.wait_listening()
    p.wait_version()
    os.killpg(p.process.pid, signal.SIGINT)
    assert p.wait_exit() == 0
    assert "Second signal" not in p.log()


def test_a_signal_to_all_processes_is_one_signal(upstream, proxy):
    """A service manager stops a service by a signal to each of its processes."""
    server, release = held(upstream)
    p = proxy(one_router(server.url))
    with p.connect() as client:
        client.send(request_bytes())
        server.wait_requests()
        serving = p.pid
        for signum in [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM]:
            os.kill(serving, signum)
        p.terminate()
        p.wait_log("I have to go")
        release.set()
        assert client.response().body == b"late but whole"
    assert p.wait_exit() == 0


def test_a_stop_while_the_server_starts_is_no_failure(upstream, proxy):
    """The server did not catch the signal yet, and weir ended with 143."""
    p = proxy(one_router(upstream().url), start=False)
    p.start(wait=False)
    wait_until(lambda: p.pid != p.process.pid, "the server is there", interval_s=0)
    server = p.pid
    os.kill(server, signal.SIGSTOP)
    wait_until(lambda: status_of(server, "State") == "T", "the server stands still")
    p.terminate()
    wait_until(lambda: int(status_of(server, "ShdPnd"), 16) >> (signal.SIGTERM - 1) & 1, "the signal has been passed on")
    os.kill(server, signal.SIGCONT)
    assert p.wait_exit() == 0


def test_the_server_takes_no_harm_from_a_request_to_upgrade(upstream, proxy):
    p = proxy(one_router(upstream().url))
    server = p.pid
    os.kill(server, signal.SIGUSR2)
    os.kill(server, signal.SIGHUP)
    assert p.fetch().status == 200
    assert p.pid == server


SUPERVISED = pytest.mark.parametrize("supervised", [True, False])


@SUPERVISED
def test_a_second_signal_ends_at_once(upstream, proxy, supervised):
    server, release = held(upstream)
    p = proxy(one_router(server.url), static={"weir": {"supervisor": {"enabled": supervised}}}, check_output=False)
    with p.connect() as client:
        client.send(request_bytes())
        server.wait_requests()
        p.terminate()
        p.wait_log("I have to go")
        p.expected_exit = 128 + signal.SIGTERM
        # Those that come right after the first are not counted.
        wait_until(lambda: p.terminate() or not p.running, "it ends")
        assert p.wait_exit() == 128 + signal.SIGTERM
        assert "Second signal" in p.log()
        release.set()


@SUPERVISED
def test_a_signal_that_comes_twice_at_once_is_one(upstream, proxy, supervised):
    """timeout(1) signals its child, and then its child's group."""
    server, release = held(upstream)
    p = proxy(one_router(server.url), static={"weir": {"supervisor": {"enabled": supervised}}}, start=False)
    p.ports = {name: free_port() for name in p.entry_point_names()}
    p.write_files()
    p._output = open(p.directory / "output.log", "wb")
    p.process = subprocess.Popen(["timeout", "600", program(), "--configFile=static.yml"], cwd=p.directory,
                                 stdout=p._output, stderr=subprocess.STDOUT)
    p._output.close()
    p.wait_listening()
    p.wait_version()
    with p.connect() as client:
        client.send(request_bytes())
        server.wait_requests()
        p.terminate()
        p.wait_log("I have to go")
        release.set()
        assert client.response().body == b"late but whole"
    assert p.wait_exit() == 0
    assert "Second signal" not in p.log()


def test_the_server_does_not_outlive_the_supervisor(upstream, proxy):
    p = proxy(one_router(upstream().url))
    server = p.pid
    p.process.kill()
    p.process.wait()
    p.expected_exit = -signal.SIGKILL
    wait_until(lambda: not Path(f"/proc/{server}").exists(), "the server is gone")
    p.spawn()
    p.wait_version()
    p.expected_exit = 0
    assert p.fetch().status == 200


def test_without_a_supervisor(upstream, proxy):
    p = proxy(one_router(upstream().url), static={"weir": {"supervisor": {"enabled": False}}})
    assert process.children(p.process.pid) == []
    p.process.send_signal(signal.SIGUSR2)
    p.wait_log("The program is not upgraded", "weir.supervisor.enabled")
    assert p.fetch().status == 200


def test_the_supervisor_is_small(upstream, proxy):
    p = proxy(one_router(upstream().url))
    if memory_tells():
        rollup = Path(f"/proc/{p.process.pid}/smaps_rollup").read_text()
        private = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private"))
        assert private < 4096, rollup
    assert len(os.listdir(f"/proc/{p.process.pid}/fd")) < 20


# --- upgrades


@pytest.fixture
def upgradable(upstream, tmp_path, monkeypatch):
    """A proxy whose program is a copy, which a test may replace."""
    copy = tmp_path / "weir"
    shutil.copy(program(), copy)
    monkeypatch.setenv("WEIR", str(copy))
    with contextlib.ExitStack() as stack:
        def make(answer=answer_ok, static=None, **options):
            server = upstream(answer=answer)
            p = Proxy(tmp_path / "proxy", one_router(server.url),
                      static=merge({"weir": {"supervisor": {"pidFile": "weir.pid"}}}, static or {}), check_output=False, **options)
            stack.callback(p.stop)
            return p.start(), copy

        yield make


def replace(path, content=None):
    new = path.with_suffix(".new")
    if content is None:
        shutil.copy(path, new)
    else:
        new.write_bytes(content)
        new.chmod(0o755)
    new.rename(path)


def ask_upgrade(p):
    code, output = run_command(p.directory, "upgrade", "--configFile=static.yml")
    assert code == 0 and str(p.process.pid) in output, output


def test_an_upgrade_loses_nothing(upgradable):
    p, binary = upgradable()
    with Steady(p.port) as load:
        for _ in range(2):
            old, before = p.pid, load.good
            wait_until(lambda: load.good >= before + 20, "requests are answered")
            replace(binary)
            ask_upgrade(p)
            wait_until(lambda: p.pid not in (old, p.process.pid) and not Path(f"/proc/{old}").exists(), lambda: f"a new server serves alone\n{p.log()}", 60)
            assert os.readlink(f"/proc/{p.process.pid}/exe") == str(binary)
            before = load.good
            wait_until(lambda: load.good >= before + 20, "requests are answered")
    assert (load.refused, load.cut, load.bad) == (0, 0, []), p.log()
    assert (p.directory / "weir.pid").read_text().strip() == str(p.process.pid)
    p.terminate()
    assert p.wait_exit() == 0
    assert not (p.directory / "weir.pid").exists()


def test_a_program_that_refuses_the_configuration_does_not_take_over(upgradable):
    p, binary = upgradable()
    server = p.pid
    replace(binary, b"#!/bin/sh\necho no such option >&2\nexit 1\n")
    p.process.send_signal(signal.SIGUSR2)
    p.wait_log("The program is not upgraded", "no such option")
    assert p.pid == server
    assert p.fetch().status == 200


def test_an_upgraded_server_that_dies_leaves_the_old_one(upgradable):
    """It approves of the configuration, but then cannot listen on an entry point that is new."""
    p, binary = upgradable()
    server = p.pid
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        p.static_extra = merge(p.static_extra, {"entryPoints": {"more": {"address": f"127.0.0.1:{taken.getsockname()[1]}"}}})
        (p.directory / "static.yml").write_text(to_yaml(p.static_configuration()))
        replace(binary)
        p.process.send_signal(signal.SIGUSR2)
        p.wait_log("the old one goes on", "address already in use")
        assert p.pid == server
        assert p.fetch().status == 200
    p.terminate()
    assert p.wait_exit() == 0


def test_a_program_that_cannot_be_started_after_its_check_changes_nothing(upgradable):
    """Sockets were in their places for it already, where the supervisor has descriptors of its own."""
    p, binary = upgradable()
    server = p.pid
    replace(binary, b'#!/bin/sh\nrm -- "$0"\nexit 0\n')
    p.process.send_signal(signal.SIGUSR2)
    p.wait_log("Upgrading", "The program is not upgraded", "No such file")
    assert p.pid == server
    kill_server(p)
    assert p.fetch().status == 200
    assert DIED in p.wait_log(DIED)
    p.terminate()
    assert p.wait_exit() == 0


def test_an_upgraded_server_that_dies_while_the_old_one_drains_is_replaced(upgradable):
    """The old one accepts no more connections: it cannot go on in its place."""
    arrived, release = threading.Event(), threading.Event()

    def answer(connection, request):
        if request.target == "/slow":
            arrived.set()
            release.wait(60)
        answer_ok(connection, request)

    p, binary = upgradable(answer, {"entryPoints": {"web": {"transport": {"lifeCycle": {"graceTimeOut": "100s"}}}}})
    old = p.pid
    slow = threading.Thread(target=fetch, args=(p.port,), kwargs={"target": "/slow", "timeout_s": 60})
    slow.start()
    try:
        assert arrived.wait(15)
        replace(binary)
        ask_upgrade(p)
        p.wait_log("the old one drains")
        kill_server(p)
        assert p.fetch().status == 200
        assert Path(f"/proc/{old}").exists()
        assert "goes on" not in p.wait_log(DIED)
    finally:
        release.set()
        slow.join()
    wait_until(lambda: not Path(f"/proc/{old}").exists(), "the old server has ended")
    assert p.fetch().status == 200


def test_an_upgrade_without_a_pid_file_says_what_to_do(upstream, proxy):
    p = proxy(one_router(upstream().url))
    code, output = run_command(p.directory, "upgrade", "--configFile=static.yml")
    assert code == 1 and "pidFile" in output and "SIGUSR2" in output


def test_an_upgrade_leaves_other_processes_alone(upgradable):
    """A file that was left behind may name any process."""
    p, _ = upgradable()
    with subprocess.Popen(["sleep", "600"]) as other:
        (p.directory / "weir.pid").write_text(f"{other.pid}\n")
        code, output = run_command(p.directory, "upgrade", "--configFile=static.yml")
        assert code == 1 and "no running weir" in output, output
        other.terminate()
        assert other.wait() == -signal.SIGTERM


def test_a_stop_while_the_old_server_drains_waits_for_it(tmp_path, upstream, monkeypatch):
    copy = tmp_path / "weir"
    shutil.copy(program(), copy)
    monkeypatch.setenv("WEIR", str(copy))
    server, release = held(upstream)
    p = Proxy(tmp_path / "proxy", one_router(server.url))
    try:
        p.start()
        with p.connect() as client:
            client.send(request_bytes())
            server.wait_requests()
            p.process.send_signal(signal.SIGUSR2)
            p.wait_log("The upgraded server is ready; the old one drains")
            p.wait_log("I have to go")
            p.terminate()
            wait_until(lambda: p.log().count("I have to go") == 2, "both servers end")
            release.set()
            assert client.response().body == b"late but whole"
        assert p.wait_exit() == 0
    finally:
        p.stop()


# --- sockets of the service manager


ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="web")
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_sockets_of_the_service_manager_are_used(upstream, proxy):
    """systemd's protocol: LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES; the name is the entry point's."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        p = proxy(one_router(upstream().url), start=False)
        p.ports = {name: free_port() for name in p.entry_point_names()}
        p.write_files()
        activated = [sys.executable, "-c", ACTIVATE, str(listening.fileno()), program(), "--configFile=static.yml"]
        with open(p.directory / "output.log", "wb") as output:
            p.process = subprocess.Popen(activated, cwd=p.directory, stdout=output, stderr=subprocess.STDOUT,
                                         pass_fds=[listening.fileno()])
        configured, p.ports = p.ports, {"web": port}
        p.wait_version()
        assert p.fetch().status == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", configured["web"]), timeout=5)
        if process.server(p.process.pid) != p.process.pid:
            kill_server(p)
            assert p.fetch().status == 200
        p.check_output = False

"""`make run`: the demo prints commands that work, and leaves nothing behind however it ends."""

import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from harness.guests import REPOSITORY, guests_directory
from harness.ports import free_port
from harness.process import children, process_tree
from harness.proxy import ON_TRAEFIK, program
from harness.waiting import wait_until

pytestmark = pytest.mark.skipif(ON_TRAEFIK, reason="the demo is weir's own")

TIMEOUT_S = 60.0


class Demo:
    """scripts/demo and what it prints."""

    def __init__(self, *ports):
        ports = ports or (free_port(), free_port())
        environment = dict(os.environ, WEIR=program(), WEIR_GUESTS=str(guests_directory()))
        self.process = subprocess.Popen([REPOSITORY / "scripts" / "demo", *map(str, ports)], env=environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        wait_until(lambda: "Ctrl-C stops everything." in self.output() or not self.reader.is_alive(), self.output,
                   TIMEOUT_S)
        assert "Ctrl-C stops everything." in self.output(), self.output()
        self.commands = re.findall(r"^ +((?:curl|sed) .*)$", self.output(), re.M)
        self.directory = Path(re.search(r"the configuration in (\S+)", self.output())[1])
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)/ ", self.output())[1])
        self.pids = process_tree(self.process.pid)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def output(self):
        return "".join(self.lines)

    def wait_end(self):
        self.process.wait(TIMEOUT_S)
        self.reader.join(TIMEOUT_S)
        return self.process.returncode

    def left_behind(self):
        found = [pid for pid in self.pids if Path(f"/proc/{pid}").exists()]
        if self.directory.exists():
            found.append(self.directory)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                found.append(f"port {self.port}")
        return found


@pytest.fixture
def demo():
    started = Demo()
    yield started
    if started.process.poll() is None:
        started.process.terminate()
        started.wait_end()


def shell(command):
    return subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          timeout=TIMEOUT_S).stdout.lower()


def test_the_commands_do_what_they_say(demo):
    with_plugin, without, edit = demo.commands
    found = shell(with_plugin)
    assert found.startswith("http/1.1 200") and "x-demo: hello\n" in found and "x-demo-request: for the backend" in found
    found = shell(without)
    assert found.startswith("http/1.1 200") and "x-demo" not in found and "x-forwarded-for: 127.0.0.1" in found
    shell(edit)
    wait_until(lambda: "x-demo: edited while running\n" in shell(with_plugin), demo.output)
    assert "edited" not in (REPOSITORY / "demo" / "dynamic.yml").read_text()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(demo, signum):
    # The script, the backend, weir's supervisor and its server.
    assert len(demo.pids) == 4
    demo.process.send_signal(signum)
    assert demo.wait_end() == 0, demo.output()
    assert demo.left_behind() == []


def test_the_death_of_weir_stops_everything(demo):
    weir = next(pid for pid in children(demo.process.pid) if os.readlink(f"/proc/{pid}/cwd") == str(demo.directory))
    os.kill(weir, signal.SIGKILL)
    assert demo.wait_end() == 1
    assert "weir ended with status -9" in demo.output()
    wait_until(lambda: demo.left_behind() == [], lambda: str(demo.left_behind()))


def test_the_death_of_the_script_stops_everything(demo):
    demo.process.kill()
    assert demo.wait_end() == -signal.SIGKILL
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in demo.pids), lambda: str(demo.left_behind()))
    for path in sorted(demo.directory.rglob("*"), reverse=True) + [demo.directory]:
        path.rmdir() if path.is_dir() else path.unlink()


def test_taken_ports_are_said_and_replaced():
    with socket.create_server(("127.0.0.1", 0)) as web, socket.create_server(("127.0.0.1", 0)) as backend:
        taken = [server.getsockname()[1] for server in (web, backend)]
        demo = Demo(*taken)
        try:
            assert all(f"Port {port} is taken" in demo.output() for port in taken), demo.output()
            assert demo.port not in taken
            assert shell(demo.commands[0]).startswith("http/1.1 200")
        finally:
            demo.process.terminate()
            assert demo.wait_end() == 0
    assert demo.left_behind() == []


@pytest.mark.parametrize("arguments", [["eighty"], ["0"], ["65536"], ["1", "2", "3"]])
def test_wrong_arguments_are_refused(arguments):
    done = subprocess.run([REPOSITORY / "scripts" / "demo", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=TIMEOUT_S)
    assert (done.returncode, done.stderr) == (1, "weir: usage: scripts/demo [PORT [BACKEND_PORT]]\n")

"""One proxy process with its files."""

import os
import re
import signal
import socket
import subprocess

from harness.ports import free_port
from harness.waiting import wait_until

READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
START_ATTEMPTS = 5

_BAD_OUTPUT = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|broken invariant|Assertion .* failed")


class Instance:
    """`files` maps names to text in which <<name>> stands for the port of the entry point `name` and <<a>> for the
    port of backend `a`; `arguments` and `environment` may hold such names too."""

    def __init__(self, name, program, directory, files, entry_points, known_ports, arguments, environment):
        self.name, self.program, self.directory = name, program, directory
        self.files, self.entry_points, self.known_ports = files, entry_points, known_ports
        self.arguments, self.environment = arguments, environment
        self.ports, self.process = {}, None

    def _fill(self, text):
        for name, port in {**self.known_ports, **self.ports}.items():
            text = text.replace(f"<<{name}>>", str(port))
        return text

    def write(self, name, content):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(self._fill(content))

    def spawn(self):
        self.ports = {name: free_port() for name in self.entry_points}
        for name, content in self.files.items():
            self.write(name, content)
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(("TRAEFIK_", "WEIR_")) or key.startswith("WEIR_TEST")}
        environment.update({key: self._fill(value) for key, value in self.environment.items()})
        environment.pop("XDG_CACHE_HOME", None)
        environment["XDG_CONFIG_HOME"] = environment["HOME"] = str(self.directory / "home")
        with open(self.directory / "output.log", "wb") as output:
            self.process = subprocess.Popen([self.program, *map(self._fill, self.arguments)], cwd=self.directory,
                                            stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                            env=environment)

    def start(self, ready):
        """Starts and waits until all entry points listen and `ready(instance)` holds."""
        for attempt in range(START_ATTEMPTS):
            self.spawn()
            try:
                for port in self.ports.values():
                    wait_until(lambda port=port: self._listens(port), lambda: f"{self.name} listens\n{self.log()}", READY_TIMEOUT_S)
                wait_until(lambda: self.alive() and ready(self), lambda: f"{self.name} is configured\n{self.log()}", READY_TIMEOUT_S)
                return
            except AssertionError:
                if "address already in use" not in self.log().lower() or attempt + 1 == START_ATTEMPTS:
                    raise
                self.kill()

    def alive(self):
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}\n{self.log()}"
        return True

    def _listens(self, port):
        self.alive()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True
        except OSError:
            return False

    def log(self):
        return (self.directory / "output.log").read_text(errors="replace")

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        if self.process is None:
            return
        died = self.process.poll()
        if died is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.name} did not stop\n{self.log()}") from None
        log = self.log()
        assert died is None, f"{self.name} died with {died}\n{log}"
        if self.name == "weir":
            assert self.process.returncode == 0 and not _BAD_OUTPUT.search(log), f"weir ended badly\n{log}"

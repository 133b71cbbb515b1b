"""The proxy under test: its files, its process, what it prints, and what it must not leave behind.

WEIR names the program (default: build/weir). E2E_PROXY names another one to hold the expectations against, which must
read the same files; Traefik is the only such program."""

import atexit
import contextlib
import functools
import os
import re
import resource
import signal
import subprocess
import tempfile
from pathlib import Path

from . import process
from .client import Client, fetch
from .guests import REPOSITORY, guest
from .message import Closed
from .metrics import scrape, unbalanced
from .ports import free_port
from .waiting import wait_until
from .yaml import to_yaml

ON_TRAEFIK = "E2E_PROXY" in os.environ
START_ATTEMPTS = 5
STOP_TIMEOUT_S = 30
READY_TIMEOUT_S = 60
MARKER_PRIORITY = 1000000

_FATAL_OUTPUT = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|MemorySanitizer|runtime error:|panicked at|Assertion .* failed|"
    r"broken invariant|SIGSEGV|SIGABRT|core dumped")

MANIFEST = """displayName: {name}
type: middleware
runtime: wasm
summary: a test guest
testData: {{}}
"""


def program():
    path = os.environ.get("E2E_PROXY") or os.environ.get("WEIR") or REPOSITORY / "build" / "weir"
    path = Path(path).resolve()
    assert path.exists(), f"no proxy to test at {path}: build it or set WEIR"
    return str(path)


def sanitized():
    if ON_TRAEFIK:
        return False
    data = Path(program()).read_bytes()
    return b"__asan_init" in data or b"__tsan_init" in data


@functools.cache
def memory_tells():
    """Whether PSS says how much the proxy needs: not under a sanitizer, which keeps what was freed, nor for Traefik,
    whose runtime gives memory back when it likes."""
    return not ON_TRAEFIK and not sanitized()


def merge(base, extra):
    """`extra` laid over `base`, recursively; None removes a key."""
    result = dict(base)
    for key, value in extra.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result


def servers(*urls):
    return {"loadBalancer": {"servers": [{"url": url} for url in urls]}}


def one_router(url, rule="PathPrefix(`/`)", middlewares=None, plugin=None):
    """A dynamic configuration with the router `r`, the service `s` and, if given, the middleware `m` = {alias: config}."""
    router = {"rule": rule, "service": "s"}
    http = {"routers": {"r": router}, "services": {"s": servers(url)}}
    if plugin is not None:
        router["middlewares"] = ["m"]
        http["middlewares"] = {"m": {"plugin": plugin}}
    if middlewares is not None:
        router["middlewares"] = middlewares
    return {"http": http}


@functools.cache
def compiled_plugins():
    """The cache of the tests, which all of them share, also those that run beside each other: never the user's own."""
    if "CACHE_DIRECTORY" in os.environ:
        return {}
    place = tempfile.TemporaryDirectory(prefix="weir-cache-")
    atexit.register(place.cleanup)
    return {"CACHE_DIRECTORY": place.name}


class Plugin:
    """A local plugin: the guest's name or its bytes, and its settings."""

    def __init__(self, wasm, settings=None, manifest=None):
        self.wasm = guest(wasm) if isinstance(wasm, str) else wasm
        self.settings = settings
        self.manifest = manifest


class Proxy:
    """With plugins, or with `metrics`, the entry point `traefik` serves metrics, and when the proxy is stopped its
    plugins' instances must add up. `namespace`: the network (harness.network) that it runs in, listens in on all addresses, and
    is asked in by the methods here. `files`: {file of the system: file that it sees instead}."""

    def __init__(self, directory, dynamic, static=None, plugins=None, environment=None, limits=None, dropped=(),
                 check_output=True, metrics=None, namespace=None, files=None):
        self.directory = Path(directory)
        self.dynamic = dynamic
        self.static_extra = static or {}
        self.plugins = plugins or {}
        self.environment = environment or {}
        self.limits = limits or {}
        self.dropped = dropped
        self.check_output = check_output
        self.files = files or {}
        self.namespace = contextlib.nullcontext() if namespace is None else namespace
        self.host = "127.0.0.1" if namespace is None else "0.0.0.0"
        self.metrics = bool(plugins) and not ON_TRAEFIK if metrics is None else metrics
        self.process = None
        self.ports = {"web": None}
        self.version = 0
        self.expected_exit = 0

    # --- files

    @property
    def port(self):
        return self.ports["web"]

    def static_configuration(self):
        static = {
            "entryPoints": {name: {"address": f"{self.host}:{port}" if isinstance(port, int) else f"unix://{port}"}
                            for name, port in self.ports.items()},
            "log": {"level": "INFO"},
            "providers": {"providersThrottleDuration": "50ms", "file": {"filename": "dynamic.yml"}},
        }
        if self.metrics:
            static["metrics"] = {"prometheus": {}}
        if self.plugins:
            static["experimental"] = {"localPlugins": {alias: self._plugin_entry(alias) for alias in self.plugins}}
        if ON_TRAEFIK:
            static["global"] = {"checkNewVersion": False, "sendAnonymousUsage": False}
            static["log"]["noColor"] = True
        return merge(static, self.static_extra)

    def _plugin_entry(self, alias):
        entry = {"moduleName": f"example.org/{alias}"}
        if self.plugins[alias].settings is not None:
            entry["settings"] = self.plugins[alias].settings
        return entry

    def write_files(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        for alias, plugin in self.plugins.items():
            folder = self.directory / "plugins-local" / "src" / "example.org" / alias
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".traefik.yml").write_text(plugin.manifest or MANIFEST.format(name=alias))
            (folder / "plugin.wasm").write_bytes(plugin.wasm)
        self.write_dynamic(self.dynamic)
        (self.directory / "static.yml").write_text(to_yaml(self.static_configuration()))

    def with_marker(self, dynamic):
        """Adds a router that tells which version is in effect: its service has no server and so answers 503."""
        self.version += 1
        name = f"version-{self.version}"
        router = {"rule": f"Host(`{name}.test`)", "service": name, "priority": MARKER_PRIORITY}
        marker = {"http": {"routers": {name: router}, "services": {name: servers()}}}
        return merge(dynamic, marker)

    def write_dynamic(self, dynamic, in_place=False):
        """Publishes a configuration by renaming a file over the old one, or by truncating and rewriting it."""
        text = to_yaml(self.with_marker(dynamic)) if isinstance(dynamic, dict) else dynamic
        path = self.directory / "dynamic.yml"
        if in_place:
            path.write_text(text)
        else:
            (self.directory / "dynamic.tmp").write_text(text)
            os.replace(self.directory / "dynamic.tmp", path)
        return self.version

    def apply(self, dynamic, in_place=False):
        self.write_dynamic(dynamic, in_place)
        self.wait_version()

    # --- life

    def start(self, wait=True):
        for attempt in range(START_ATTEMPTS):
            self.choose_ports()
            self.write_files()
            self.spawn()
            if not wait:
                return self
            try:
                self.wait_listening()
                self.wait_version()
                return self
            except AssertionError:
                taken = "address already in use" in self.log().lower()
                if not taken or attempt + 1 == START_ATTEMPTS:
                    raise
                self.kill()
        raise AssertionError("unreachable")

    def choose_ports(self):
        """A free one for each entry point; or the path, where the address is that of a Unix socket."""
        addresses = {name: (options or {}).get("address", "") for name, options in self.static_extra.get("entryPoints", {}).items()}
        paths = {name: address.removeprefix("unix://") for name, address in addresses.items() if address.startswith("unix://")}
        self.ports = {name: paths.get(name) or free_port() for name in self.entry_point_names()}

    def entry_point_names(self):
        names = list(self.static_extra.get("entryPoints", {}))
        if self.metrics and "traefik" not in names:
            names.append("traefik")
        return names if "web" in names else ["web"] + names

    def spawn(self, arguments=("--configFile=static.yml",)):
        self._output = open(self.directory / "output.log", "wb")
        environment = os.environ | compiled_plugins() | self.environment

        def before_exec():
            for limit, value in self.limits.items():
                resource.setrlimit(limit, (value, value))
            for capability in self.dropped:
                process.drop_capability(capability)
            if self.files:
                process.see_instead(self.files)

        with self.namespace:
            self.process = subprocess.Popen([program(), *arguments], cwd=self.directory, stdout=self._output,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
                                            preexec_fn=before_exec if self.limits or self.dropped or self.files else None)
        self._output.close()
        return self

    def wait_listening(self):
        for port in self.ports.values():
            wait_until(lambda: self._connects(port), lambda: f"the proxy listens on {port}\n{self.log()}", READY_TIMEOUT_S)

    def _connects(self, port):
        assert self.running, f"the proxy ended with {self.process.returncode}\n{self.log()}"
        try:
            with self.namespace:
                Client(port, timeout_s=5).close()
            return True
        except OSError:
            return False

    def wait_version(self, version=None):
        """Waits until the configuration written last (or the given one) answers requests."""
        host = f"version-{version or self.version}.test"

        def in_effect():
            assert self.running, f"the proxy ended with {self.process.returncode}\n{self.log()}"
            try:
                response = self.fetch(host=host)
                return response.status == 503 and b"no available server" in response.body
            except (Closed, OSError):
                return False

        wait_until(in_effect, lambda: f"configuration {host} comes into effect\n{self.log()}", READY_TIMEOUT_S)

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        """Of the process that serves: below the supervisor, if there is one."""
        return process.server(self.process.pid)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait_exit(self, timeout_s=STOP_TIMEOUT_S):
        return self.process.wait(timeout_s)

    def kill(self):
        if self.running:
            self.process.kill()
            self.process.wait()

    def stop(self):
        """Stops the proxy and checks that it did so well."""
        if self.process is None:
            return
        died_early = not self.running and self.expected_exit == 0 and self.process.returncode != 0
        if self.running:
            self.check_balance()
            self.terminate()
        try:
            code = self.wait_exit()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the proxy did not stop within {STOP_TIMEOUT_S} s of SIGTERM\n{self.log()}") from None
        log = self.log()
        assert not died_early, f"the proxy died with {code} during the test\n{log}"
        assert code == self.expected_exit, f"exit code {code}, expected {self.expected_exit}\n{log}"
        if self.check_output and not ON_TRAEFIK:
            fatal = _FATAL_OUTPUT.search(log)
            assert not fatal, f"the proxy printed {fatal.group()!r}\n{log}"

    def check_balance(self):
        """What is under way may come to its end first."""
        if not self.metrics or ON_TRAEFIK:
            return
        wrong = None

        def balanced():
            nonlocal wrong
            wrong = unbalanced(self.scrape())
            return not wrong

        wait_until(balanced, lambda: f"the plugins' instances add up: {wrong}", interval_s=0.05)

    # --- observations

    def scrape(self):
        with self.namespace:
            return scrape(self.ports["traefik"])

    def log(self):
        return (self.directory / "output.log").read_text(errors="replace")

    def wait_log(self, *texts, timeout_s=15.0):
        wait_until(lambda: all(text in self.log() for text in texts),
                   lambda: f"the log holds {texts}\n{self.log()}", timeout_s)
        return self.log()

    @property
    def pss_bytes(self):
        return process.pss_bytes(self.pid)

    @property
    def descriptors(self):
        return process.descriptors(self.pid)

    @property
    def threads(self):
        return process.threads(self.pid)

    @contextlib.contextmanager
    def flat(self, memory_bytes=8 << 20, descriptors=4, threads=4, timeout_s=30.0):
        """Asserts that descriptors, threads and memory come back to what they were, within these allowances: helper
        threads, of the allocator for example, may start when they are first needed."""
        before = (self.descriptors, self.threads, self.pss_bytes)
        yield
        now = before

        def settled():
            nonlocal now
            now = (self.descriptors, self.threads, self.pss_bytes)
            return (now[0] <= before[0] + descriptors and
                    (ON_TRAEFIK or now[1] <= before[1] + threads) and
                    (not memory_tells() or now[2] <= before[2] + memory_bytes))

        wait_until(settled, lambda: f"(descriptors, threads, PSS) return from {now} to {before}", timeout_s, 0.1)

    # --- requests

    def connect(self, entry_point="web", **options):
        with self.namespace:
            return Client(self.ports[entry_point], **options)

    def fetch(self, method="GET", target="/", entry_point="web", **request):
        with self.namespace:
            return fetch(self.ports[entry_point], method, target, **request)


def run_command(directory, *arguments, timeout_s=60, dropped=(), environment=None):
    """Runs a command of the proxy to its end, without the capabilities `dropped` and with more variables; returns
    (exit code, output)."""

    def before_exec():
        for capability in dropped:
            process.drop_capability(capability)

    done = subprocess.run([program(), *arguments], cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=timeout_s, env=os.environ | compiled_plugins() | (environment or {}), preexec_fn=before_exec if dropped else None)
    return done.returncode, done.stdout.decode(errors="replace")

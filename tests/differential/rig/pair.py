"""Traefik and weir with the same files in front of the same backends."""

from harness.client import fetch
from harness.guests import guest
from harness.message import Closed
from harness.yaml import to_yaml

from . import programs
from .backend import Backend
from .instance import Instance
from .observe import observe

TIMEOUT_S = 30
MANIFEST = "displayName: test\ntype: middleware\nruntime: wasm\nsummary: a test guest\ntestData: {}\n"

# A router that only says that the configuration is in effect, and answers the probe after a case.
MARKER = {"routers": {"marker": {"rule": "Host(`probe.differential`)", "priority": 1000000, "service": "marker"}},
          "services": {"marker": {"loadBalancer": {"servers": []}}}}


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


def static_tables(entry_points, extra=None):
    """A static configuration with these entry points and the dynamic file dynamic.yml."""
    static = {
        "entryPoints": {name: {"address": f"127.0.0.1:<<{name}>>"} for name in entry_points},
        "log": {"level": "INFO"},
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "providers": {"providersThrottleDuration": "50ms", "file": {"filename": "dynamic.yml"}},
    }
    return merge(static, extra or {})


def configured(instance):
    """Whether the marker's answer comes."""
    try:
        port = next(iter(instance.ports.values()))
        return fetch(port, host="probe.differential").body == b"no available server\n"
    except (Closed, OSError):
        return False


class Pair:
    """`static` is laid over `static_tables`, `dynamic` over the marker; `files` replaces or adds files by name (text,
    bytes). `plugins` maps aliases to our guests by name, or to any guest's bytes."""

    def __init__(self, directory, static=None, dynamic=None, files=None, entry_points=("web",), backends=("a",),
                 plugins=None, settings=None, arguments=("--configFile=static.yml",), environment=None, ready=configured, backend_host="127.0.0.1"):
        self.backends = [Backend(name, backend_host) for name in backends]
        self.ready = ready
        everything = self._files(static, dynamic, entry_points, plugins or {}, settings or {})
        everything.update(files or {})
        everything = {name: content for name, content in everything.items() if content is not None}
        known = {backend.name: backend.port for backend in self.backends}
        self.traefik, self.weir = (
            Instance(name, program, self._directory(directory / name), everything, entry_points, known, arguments,
                     environment or {})
            for name, program in (("traefik", programs.traefik()), ("weir", programs.weir())))

    @staticmethod
    def _directory(path):
        path.mkdir(parents=True)
        return path

    @staticmethod
    def _files(static, dynamic, entry_points, plugins, settings):
        local = {alias: {"moduleName": f"example.org/{alias}", **({"settings": settings[alias]} if alias in settings else {})}
                 for alias in plugins}
        static = merge({"experimental": {"localPlugins": local}} if local else {}, static or {})
        files = {"static.yml": to_yaml(static_tables(entry_points, static)),
                 "dynamic.yml": to_yaml(merge({"http": MARKER}, dynamic or {}))}
        for alias, name in plugins.items():
            files[f"plugins-local/src/example.org/{alias}/.traefik.yml"] = MANIFEST
            files[f"plugins-local/src/example.org/{alias}/plugin.wasm"] = name if isinstance(name, bytes) else guest(name)
        return files

    def start(self):
        for instance in (self.traefik, self.weir):
            instance.start(self.ready)

    def stop(self):
        failures = []
        for part in (self.traefik, self.weir, *self.backends):
            try:
                part.stop()
            except AssertionError as error:
                failures.append(error)
                if isinstance(part, Instance):
                    part.kill()
        if failures:
            raise failures[0]

    def run(self, case, timeout_s=TIMEOUT_S):
        """Runs the case through both; returns the two observations."""
        theirs = observe(self.traefik, self.backends, case, timeout_s)
        ours = observe(self.weir, self.backends, case, timeout_s)
        if not case.asked_for_coding:
            forget_invented_coding(theirs)
        return theirs, ours

    def check(self, case, timeout_s=TIMEOUT_S):
        theirs, ours = self.run(case, timeout_s)
        found = difference(theirs, ours, case.ignore)
        if case.loosely:
            assert found or case.races, f"case {case.name}: no longer differs"
            found = {key: (theirs.get(key), ours.get(key)) for key in case.differs}
        assert found == case.differs, "\n".join(
            [f"case {case.name}: (Traefik, weir) differ where they should not, or no longer do"]
            + [f"  found    {key}: {value!r}" for key, value in found.items() if case.differs.get(key) != value]
            + [f"  expected {key}: {value!r}" for key, value in case.differs.items() if found.get(key) != value])


def forget_invented_coding(flat):
    """Go's client asks for gzip when its caller did not, and would unpack the answer itself; weir does not. The row
    "accept-encoding" of docs/compatibility.md; test_forwarding.py has cases that keep it."""
    for key in [key for key in flat if key.endswith(".header.accept-encoding") and key.startswith("upstream")]:
        if flat[key] == ["gzip"]:
            del flat[key]


def difference(theirs, ours, ignore=()):
    """Keys whose values differ, as {key: (Traefik's value, weir's value)}."""
    keys = [key for key in {**theirs, **ours} if key not in ignore]
    return {key: (theirs.get(key), ours.get(key)) for key in keys if theirs.get(key) != ours.get(key)}

"""Configurations at random, good and bad, under load: after each the running weir answers as one that is freshly started
with the same files. The seed is printed; WEIR_RELOAD_SEED repeats a run, WEIR_RELOAD_STEPS makes it longer."""

import itertools
import os
import random
import signal

import pytest

from harness.client import fetch
from harness.guests import guest
from harness.load import Innocents
from harness.message import Closed
from harness.proxy import Plugin, merge, one_router, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until
from harness.yaml import to_yaml

pytestmark = pytest.mark.differs("Traefik reads plugins when it starts only, and takes half a file")

STEPS = int(os.environ.get("WEIR_RELOAD_STEPS", "400" if "WEIR_LONG" in os.environ else "14"))
HOSTS = [f"h{i}.test" for i in range(5)]
PATHS = ["/", "/a", "/a/b", "/c?d=e"]
PLUGINS = ["p0", "p1", "p2"]
BROKEN = [
    "http:\n  routers: [unclosed\n",
    "http:\n  routers:\n    r:\n      rule: Host(`a`)\n      priority: high\n",
    "http:\n  routers:\n    r:\n      ruel: Host(`a`)\n",
    "http:\n\trouters: {}\n",
    "http: 7\n",
    "\x00\x01\x02",
]


class Writer:
    """What may stand in a file, from one seed."""

    def __init__(self, seed, backends):
        self.random = random.Random(seed)
        self.backends = backends
        self.plugins = {}

    def rule(self):
        r = self.random
        parts = [r.choice([f"Host(`{r.choice(HOSTS)}`)", f"PathPrefix(`{r.choice(PATHS[1:3])}`)", f"Path(`{r.choice(PATHS[:3])}`)",
                           f"Header(`X-Which`, `{r.randrange(2)}`)", "Query(`d`, `e`)", "HostRegexp(`^h[0-2]`)"]) for _ in range(r.randint(1, 3))]
        parts = [f"!{part}" if r.random() < 0.15 else part for part in parts]
        return r.choice([" && ", " || "]).join(parts)

    def middleware(self, number):
        r = self.random
        return r.choice([
            {"headers": {"customResponseHeaders": {"X-Via": f"via {number} {r.randrange(3)}"}}},
            {"headers": {"customRequestHeaders": {"X-In": f"in {number} {r.randrange(3)}"}}},
            {"stripPrefix": {"prefixes": ["/a"]}},
            {"addPrefix": {"prefix": f"/p{r.randrange(3)}"}},
            {"replacePath": {"path": f"/r{r.randrange(3)}"}},
            {"redirectRegex": {"regex": "^http://h0.test/c(.*)", "replacement": "http://other.test/$1"}},
            {"chain": {"middlewares": [f"m{number + 1}", r.choice(PLUGINS)]}},
        ])

    def new_plugins(self):
        self.plugins = {name: {"plugin": {"guest": {"response": {f"X-{name}": str(self.random.randrange(3))}}}} for name in PLUGINS}

    def good(self, routers=None):
        """Perhaps with routers that are of no use."""
        r = self.random
        services = {f"s{i}": servers(r.choice(self.backends)) for i in range(r.randint(1, 4))}
        middlewares = {f"m{i}": self.middleware(i) for i in range(5)} | {"m5": {"addPrefix": {"prefix": "/five"}}} | self.plugins
        names = list(middlewares)
        made = {}
        for i in range(routers or r.randint(1, 25)):
            router = {"rule": self.rule(), "service": r.choice(list(services))}
            if r.random() < 0.5:
                router["middlewares"] = r.sample(names, r.randint(1, 3))
            if r.random() < 0.4:
                router["priority"] = r.randint(1, 40)
            if r.random() < 0.1:
                router.update(r.choice([{"service": "missing"}, {"middlewares": ["missing"]}, {"rule": "Nonsense(`x`)"}, {"entryPoints": ["missing"]}]))
            made[f"r{r.randrange(1000)}"] = router
        return to_yaml({"http": {"routers": made, "services": services, "middlewares": middlewares}})

    def truncated(self):
        text = self.good()
        return text[:self.random.randrange(1, len(text))]


def base(url):
    """Stands in a file of its own, and never changes."""
    d = {"http": {"routers": {"innocent": {"rule": "Path(`/innocent`)", "service": "base", "priority": 100000}}, "services": {"base": servers(url)}}}
    for name in PLUGINS:
        d["http"]["routers"][f"keep-{name}"] = {"rule": f"Host(`keep-{name}.test`)", "service": "base", "middlewares": [name], "priority": 90000}
    return to_yaml(d)


def ask(p, host, path, headers=()):
    response = p.fetch(target=path, host=host, headers=list(headers))
    seen = sorted((n.lower(), v) for n, v in response.headers if n.lower().startswith("x-") or n.lower() == "location")
    return response.status, response.body, tuple(seen)


def answers(p):
    questions = [(host, path, ()) for host in HOSTS for path in PATHS]
    questions += [(HOSTS[0], "/", (("X-Which", str(i)),)) for i in range(2)]
    questions += [(f"keep-{name}.test", "/", ()) for name in PLUGINS]
    return {question: ask(p, *question) for question in questions}


def check_innocent(response):
    assert (response.status, response.body) == (200, b"one /innocent None"), response.start_line


class Newcomers(Innocents):
    """Each request comes on a connection of its own, which an upgrade must not refuse either."""

    def _run(self, number):
        try:
            while not self._stop.is_set():
                self.check(fetch(self.port, target=self.target, host=self.host, timeout_s=60))
                with self._lock:
                    self.answered += 1
        except Exception as error:
            with self._lock:
                self.failures.append(f"client {number}: {error!r}")


class Running:
    def __init__(self, proxy, base_text):
        self.proxy, self.base_text = proxy, base_text
        self.good_wasm = guest("header")
        self.expected = None
        self.p = self.make("", metrics=True)

    def make(self, text, **options):
        p = self.proxy({}, start=False, plugins={"guest": Plugin(self.good_wasm)},
                       static={"providers": {"file": {"filename": None, "directory": "conf"}}, "weir": {"workers": 2}}, **options)
        conf = p.directory / "conf"
        conf.mkdir(parents=True)
        p.write_dynamic = lambda dynamic, in_place=False: None
        p.wait_version = lambda version=None: None
        (conf / "base.yml").write_text(self.base_text)
        (conf / "random.yml").write_text(text)
        return p.start()

    def fresh(self, text):
        """What a weir says that has never seen anything else; None if it takes nothing of it."""
        p = self.make(text)
        try:
            def is_broken():
                return "Error while building configuration" in p.log()

            wait_until(lambda: is_broken() or fetch(p.port, target="/innocent").status == 200, p.log, 60)
            return None if is_broken() else answers(p)
        finally:
            p.stop()

    def write(self, text, in_place=False):
        path = self.p.directory / "conf" / "random.yml"
        if in_place:
            path.write_text(text)
        else:
            new = path.parent / "..new"
            new.write_text(text)
            os.replace(new, path)

    def upgrades(self):
        """That have ended well or not."""
        return self.p.log().count("the old one drains") + self.p.log().count("The program is not upgraded")

    def counts(self):
        m = self.p.scrape()
        return [m.value(name, **labels) for name, labels in (
            ("weir_provider_failures_total", {"provider": "file"}), ("weir_provider_unchanged_total", {"provider": "file"}),
            ("weir_config_reloads_total", {}))]

    def settle(self, text, before, what):
        """Waits until what was written last has been looked at, and until the answers are what they should be."""
        expected = self.fresh(text)
        wait_until(lambda: self.counts() != before, lambda: f"{what} is looked at\n{self.p.log()[-3000:]}", 60)
        if expected is not None:
            self.expected = expected
        now = None

        def same():
            nonlocal now
            now = answers(self.p)
            return now == self.expected

        def difference():
            wrong = {q: (now[q], self.expected[q]) for q in now if now[q] != self.expected[q]}
            return f"{what}: {len(wrong)} answers are (running, fresh): {dict(itertools.islice(wrong.items(), 3))}\n{text[:3000]}\n{self.p.log()[-3000:]}"

        wait_until(same, difference, 30)


def test_random_configurations(upstream, proxy):
    seed = int(os.environ.get("WEIR_RELOAD_SEED", random.randrange(1 << 30)))
    print(f"WEIR_RELOAD_SEED={seed} WEIR_RELOAD_STEPS={STEPS}")
    one, two = (upstream(lambda c, r, name=name: c.send(response_bytes(body=f"{name} {r.target} {r.get('X-In')}".encode()))) for name in ("one", "two"))
    w = Writer(seed, [one.url, two.url])
    w.new_plugins()
    running = Running(proxy, base(one.url))
    broken_plugin = False
    with Newcomers(running.p.port, check_innocent, 6):
        for step in range(STEPS):
            kinds = ["good", "good", "good", "broken", "repeated", "burst", "plugin file"] + ([] if broken_plugin else ["new plugins", "truncated", "huge", "upgrade"])
            # The first steps show each kind once.
            kind = (["good", "broken", "truncated", "plugin file", "good", "plugin file", "burst", "upgrade", "huge"] + [None] * STEPS)[step] or w.random.choice(kinds)
            what = f"seed {seed}, step {step}, {kind}"
            wasm = running.p.directory / "plugins-local" / "src" / "example.org" / "guest" / "plugin.wasm"
            if kind == "plugin file" and not broken_plugin:
                # What goes on as it was must have been there: half a file may have left it out.
                text, before = w.good(), running.counts()
                running.write(text)
                running.settle(text, before, what)
            if kind == "plugin file":
                reloads = running.counts()[2]
                wasm.with_suffix(".new").write_bytes(running.good_wasm if broken_plugin else w.random.choice([b"no module", running.good_wasm[:1000], guest("trap-start")]))
                os.replace(wasm.with_suffix(".new"), wasm)
                broken_plugin = not broken_plugin
                wait_until(lambda reloads=reloads: running.counts()[2] > reloads, lambda what=what: f"{what} is seen\n{running.p.log()[-3000:]}", 60)
                wait_until(lambda: answers(running.p) == running.expected, f"{what} changes no answer", 60)
                continue
            if kind == "new plugins":
                w.new_plugins()
            text = {"broken": lambda: w.random.choice(BROKEN), "repeated": lambda: (running.p.directory / "conf" / "random.yml").read_text(),
                    "truncated": w.truncated, "huge": lambda: w.good(1000)}.get(kind, w.good)()
            before = running.counts()
            for _ in range(w.random.randint(2, 6) if kind == "burst" else 0):
                running.write(w.random.choice([w.good(), *BROKEN]), w.random.random() < 0.5)
            if kind == "repeated":
                running.p.process.send_signal(signal.SIGHUP)
            running.write(text, w.random.random() < 0.5)
            if kind == "upgrade":
                ended = running.upgrades()
                running.p.process.send_signal(signal.SIGUSR2)
                wait_until(lambda ended=ended: running.upgrades() > ended, lambda what=what: f"{what} ends\n{running.p.log()[-3000:]}", 60)
            running.settle(text, before, what)
        if broken_plugin:
            wasm.write_bytes(running.good_wasm)


def looping(url, name):
    return one_router(url, rule=f"Host(`{name}.test`)", plugin={"loop": {"phase": "init", "n": name}})


@pytest.fixture
def hanging(upstream, proxy):
    u = upstream()
    good = one_router(u.url, rule="Host(`good.test`)")
    p = proxy(good, plugins={"loop": Plugin("loop")}, static={"weir": {"workers": 2, "plugins": {"defaults": {"initTime": "2s"}}}})
    return p, u, good


def check_ok(response):
    assert response.status == 200, response.start_line


def test_a_build_that_hangs_ends_in_time(hanging):
    """The last good configuration serves meanwhile; then only the router of the plugin is missing."""
    p, u, good = hanging
    both = merge(looping(u.url, "loop"), {"http": {"routers": {"fine": {"rule": "Host(`good.test`)", "service": "s"}}}})
    with Innocents(p.port, check_ok, 4, host="good.test"):
        p.apply(both)
    assert "Router is disabled" in p.log()
    assert p.fetch(host="loop.test").status == 404


def test_hanging_builds_are_superseded(hanging):
    """Only one more of many is built, the last."""
    p, u, good = hanging
    with Innocents(p.port, check_ok, 4, host="good.test"):
        for i in range(10):
            p.write_dynamic(merge(good, looping(u.url, f"loop{i}")))
        p.apply(good)
    assert p.fetch(host="good.test").status == 200
    assert p.scrape().value("weir_config_reloads_total") <= 6


def test_a_drain_during_a_reload_during_an_upgrade(hanging):
    """All at once: the process ends in order, and what was accepted is answered."""
    p, u, good = hanging
    p.write_dynamic(looping(u.url, "loop"))
    p.process.send_signal(signal.SIGUSR2)
    p.write_dynamic(good)
    p.process.send_signal(signal.SIGHUP)
    for _ in range(3):
        try:
            assert fetch(p.port, host="good.test").status in (200, 404)
        except (Closed, ConnectionError):
            break
    p.terminate()
    assert p.wait_exit() == 0

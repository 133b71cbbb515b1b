"""Guests that others wrote, with TinyGo and by hand: the examples, test guests and benchmarks of http-wasm's own Go modules, unmodified. The Go
module proxy serves them; nothing of them is kept here."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rig.backend import echo, reply
from rig.known import keys, statuses, with_differences
from rig.messages import get, post, service
from rig.observe import Case
from rig.programs import REPOSITORY

MODULES = ("github.com/http-wasm/http-wasm-guest-tinygo", "github.com/http-wasm/http-wasm-host-go")
DOWNLOAD_S = 120
TINYGO = "tinygo-router tinygo-wasi".split() + [f"tinygo-e2e-tinygo-{name}" for name in ("features", "handle-response", "log")] + ["tinygo-e2e-wat-router", "tinygo-e2e-wat-wasi"]
HOST = [f"host-{name}" for name in "auth config log redact router wasi".split()] + [f"host-e2e-{name}" for name in "handle-response header-names header-value method protocol-version uri".split()]
FAILING = [f"host-error-{name}" for name in ("panic-on-handle-request", "panic-on-handle-response", "panic-on-start", "set-request-header-after-next")]
MEASURED = "add-header-value get-header-names get-header-values get-uri log read-body read-body-stream remove-header set-header-value set-status-code set-uri write-body".split()
BENCHES = [f"{where}-{name}" for where in ("host-bench", "tinygo-bench-wat", "tinygo-bench-tinygo") for name in MEASURED] + ["tinygo-bench-tinygo-stream-body"]
GUESTS = TINYGO + HOST + FAILING + BENCHES


def go():
    return os.environ.get("GO") or shutil.which("go") or str(REPOSITORY / "build/venv/bin/go")


def downloaded(module):
    """The directory of the version that tests/conformance/go.mod asks for."""
    done = subprocess.run([go(), "mod", "download", "-json", module], cwd=REPOSITORY / "tests/conformance", capture_output=True, text=True, timeout=DOWNLOAD_S, check=True)
    return Path(json.loads(done.stdout)["Dir"])


def name_of(module, path):
    short = "tinygo" if module.endswith("tinygo") else "host"
    parts = [part for part in path.with_suffix("").parts if part not in ("internal", "test", "testdata", "main", "examples")]
    return f"{short}-" + "-".join(parts).replace("_", "-")


@pytest.fixture(scope="module")
def guests():
    return {name_of(module, path.relative_to(root)): path.read_bytes() for module in MODULES for root in [downloaded(module)] for path in sorted(root.rglob("*.wasm")) if path.stem != "tck"}


# Whether Traefik sends an answer with a length or in chunks depends on how fast the guest was.
FRAMING = tuple(f"answer{i}.header.{field}" for i in range(3) for field in ("transfer-encoding", "content-length"))


def cases():
    for name in GUESTS:
        def on(what, *requests, script=None):
            return Case(f"{name} {what}", [request.replace(b"site.example", f"{name}.example".encode()) for request in requests], script=script, ignore=FRAMING)
        yield on("get", get("/a?b=c", ("X-Old", "1"), ("Authorization", "Basic dXNlcjpwYXNz")))
        yield on("thrice", get("/host/x"), get("/host"), get("/v1.0/hi?name=panda"))
        yield on("post", post("/host/b", b"open sesame, then more"), script=echo)
        yield on("answer", get("/host/c"), script=reply(headers=[("X-Answer", "b"), ("Content-Type", "text/plain")], body=b"the answer: open sesame"))


WHAT = ("get", "thrice", "post", "answer")
WITHOUT_BODY = ("get", "thrice", "answer")


def rows(guest, what=WHAT):
    return [f"{guest} {one}" for one in what]


FAILED, SERVED = "500 Internal Server Error", "200 OK"
SHOWN = {"answer0__header__x_content_type_options": (None, ["nosniff"]), "loosely": True}
DIFFERS = {
    # A guest that fails before the answer: Traefik shows the client the guest's own text.
    **keys("plugin-errors", *rows("host-error-panic-on-handle-request"), *(row for name in ("host-bench", "tinygo-bench-wat", "tinygo-bench-tinygo") for row in rows(f"{name}-read-body", WITHOUT_BODY)),
           *rows("tinygo-bench-tinygo-read-body-stream", WITHOUT_BODY), **SHOWN),
    # A guest that fails behind an answer which is already under way.
    **statuses(None, SERVED, "plugin-unbuffered", *rows("host-error-panic-on-handle-response"), *rows("host-error-set-request-header-after-next"),
               *(row for name in ("host-wasi", "tinygo-e2e-wat-wasi") for row in rows(name, ("get", "thrice", "post")))),
    # Traefik says that debug messages are enabled; this guest fails on that.
    **statuses(FAILED, SERVED, "plugin-log-enabled", *rows("host-log")),
    # A body that was read or written.
    **statuses(None, SERVED, "plugin-bodies", *rows("tinygo-e2e-tinygo-handle-response")),
    **statuses(FAILED, SERVED, "plugin-bodies", "host-e2e-method post", "host-e2e-uri post"),
    **keys("plugin-bodies", *rows("host-e2e-method", WITHOUT_BODY), upstream0__body=(b"", b"GET"), loosely=True),
    **{f"host-e2e-uri {what}": {"differs": {"upstream0.body": (b"", target)}, "why": "plugin-bodies", "loosely": True} for what, target in (("get", b"/a?b=c"), ("thrice", b"/host/x"), ("answer", b"/host/c"))},
}


@pytest.fixture(scope="module")
def pair(pairs, guests):
    assert set(guests) == set(GUESTS)
    middlewares = {name: {"plugin": {name: {"secret": "open sesame"}}} for name in GUESTS}
    routers = {name: {"rule": f"Host(`{name}.example`)", "service": "s", "middlewares": [name]} for name in GUESTS}
    return pairs(dynamic={"http": {"routers": routers, "middlewares": middlewares, "services": {"s": service("a")}}}, plugins=guests)


@pytest.mark.parametrize("case", [with_differences(case, DIFFERS) for case in cases()], ids=str)
def test_plugins_of_others(pair, case):
    pair.check(case, timeout_s=10)

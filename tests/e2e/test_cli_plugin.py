"""The commands for plugins: what they print, as text and as JSON, and how they end."""

import json
import os
import subprocess

import pytest

from harness.guests import guests_directory, module_that_changes_tables
from harness.proxy import compiled_plugins, program

pytestmark = pytest.mark.differs("Traefik has no such commands")


def weir(*arguments, directory=None, environment=None):
    """(exit status, standard output, standard error)"""
    done = subprocess.run([program(), *arguments], cwd=directory, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=120, env=os.environ | compiled_plugins() | (environment or {}))
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def path(guest):
    return str(guests_directory() / f"{guest}.wasm")


def plugin(command, guest, *arguments, status=0, **options):
    """The JSON that the command prints."""
    code, out, err = weir("plugin", command, path(guest) if "/" not in guest else guest, "--json", *arguments, **options)
    assert code == status, out + err
    assert err == ""
    return json.loads(out)


def run(guest, *arguments, status=0, **options):
    return plugin("run", guest, *arguments, status=status, **options)


def one(guest, *arguments, status=0, **options):
    report = run(guest, *arguments, status=status, **options)
    assert len(report["exchanges"]) == 1
    return report["exchanges"][0]


def says(guest, command, *arguments, status=0):
    code, out, err = weir("plugin", command, path(guest), *arguments)
    assert code == status, out + err
    return out


def fails(*arguments, directory=None):
    """The only line of an error."""
    code, out, err = weir("plugin", *arguments, directory=directory)
    assert code == 1
    assert out == ""
    assert err.count("\n") == 1, err
    return err


# ---- run ----


def test_headers_of_the_response():
    exchange = one("header", "--config", "{response: {X-Marked: yes}}", "--response", "404", "--response-header",
                   "X-Own: 1", "--response-body", "gone")
    assert exchange["handleRequest"] == "next"
    assert exchange["handleResponse"] is None
    assert exchange["cause"] is None
    assert exchange["response"] == {
        "by": "upstream", "status": 404, "bodyBytes": 4, "body": "gone",
        "headers": [["X-Marked", "yes"], ["X-Own", "1"], ["Content-Length", "4"]]}


def test_text_shows_what_changed():
    out = says("header", "run", "--config", '{"response": {"X-Marked": "yes"}}', "--response-header", "X-Own: 1")
    lines = [line.strip() for line in out.splitlines()]
    assert "+ X-Marked: yes" in lines
    assert "X-Own: 1" in lines
    assert any(line.startswith("result") and line.endswith("next") for line in lines)
    assert any(line.startswith("response") and line.endswith("200 OK, by upstream") for line in lines)
    assert 'configuration {"response":{"X-Marked":"yes"}}' in out


def test_configuration_is_what_the_proxy_would_give():
    assert run("header", "--config", "{count: 3}")["config"] == '{"count":"3"}'
    assert run("header", "--config", "{count: 3}", "--stringifyConfig=false")["config"] == '{"count":3}'


def test_configuration_from_a_file(tmp_path):
    (tmp_path / "c.toml").write_text("[response]\nX-A = 'b'\n")
    report = run("header", "--config", "@c.toml", directory=tmp_path)
    assert ["X-A", "b"] in report["exchanges"][0]["response"]["headers"]


def test_the_guest_answers():
    exchange = one("auth", "--config", "{token: t}", "--response-body", "secret")
    assert exchange["handleRequest"] == "stop"
    assert exchange["forwarded"] is None
    assert exchange["response"]["by"] == "guest"
    assert exchange["response"]["status"] == 401
    assert "secret" not in json.dumps(exchange)
    exchange = one("auth", "--config", "{token: t}", "--header", "Authorization: Bearer t")
    assert exchange["handleRequest"] == "next"


def test_request_line():
    exchange = one("request-line", "--request", "GET /a?b", "--header", "X-Set-Uri: /c?d", "--header",
                   "X-Set-Method: PUT")
    assert (exchange["request"]["method"], exchange["request"]["target"]) == ("GET", "/a?b")
    assert (exchange["forwarded"]["method"], exchange["forwarded"]["target"]) == ("PUT", "/c?d")
    out = says("request-line", "run", "--header", "X-Show: 1", "--request", "POST /p", "--header", "X-Show: 1")
    assert 'body 31 bytes: "POST /p HTTP/1.1 127.0.0.1:1024"' in out


def test_bodies_are_rewritten():
    exchange = one("rewrite-streaming", "--config", "{request: true, tail: '!'}", "--request", "POST /", "--body", "abc",
                   "--response-body", "xyz")
    assert exchange["features"] == ["buffer_request", "buffer_response"]
    assert exchange["forwarded"]["body"] == "ABC"
    assert ["Content-Length", "3"] in exchange["forwarded"]["headers"]
    assert exchange["handleResponse"] == "done"
    assert exchange["response"]["body"] == "XYZ!"
    assert ["Content-Length", "4"] in exchange["response"]["headers"]


def test_a_body_in_pieces():
    """The guest waits for each of them."""
    exchange = one("rewrite-streaming", "--config", "{request: true}", "--request", "POST /", "--body", "abcdefgh",
                   "--pieces", "3")
    assert exchange["bodyWaits"] == 2
    assert exchange["requestBodyReadBytes"] == 8
    assert exchange["forwarded"]["body"] == "ABCDEFGH"
    out = says("rewrite-streaming", "run", "--config", "{request: true}", "--request", "POST /", "--body", "abcd",
               "--pieces", "1")
    assert "3 for the body" in out


def test_prefix_of_a_response():
    exchange = one("prefix-writer", "--response-header", "X-Both: upstream", "--response-body", "rest")
    assert exchange["response"]["body"] == "prefix:rest"
    assert ["Content-Length", "11"] in exchange["response"]["headers"]
    exchange = one("prefix-writer", "--config", "{features: 2, rewrite: true}", "--response-body", "rest")
    assert exchange["response"]["body"] == "replaced"


def test_suppressed_body():
    exchange = one("waf", "--response-body", "a secret")
    assert exchange["response"]["status"] == 403
    assert exchange["response"]["bodyBytes"] == 0


def test_binary_bodies(tmp_path):
    (tmp_path / "body").write_bytes(bytes(range(256)))
    exchange = one("header", "--request", "POST /", "--body", "@body", directory=tmp_path)
    assert exchange["forwarded"]["bodyBytes"] == 256
    assert "\ufffd" in exchange["forwarded"]["body"]


@pytest.mark.parametrize("isolation, counts", [("reuse", [1, 2, 3]), ("reset", [1] * 3), ("fresh", [1] * 3)])
def test_isolation(isolation, counts):
    report = run("counter", "--isolation", isolation, "--request", "GET /1", "--request", "GET /2", "--request", "GET /3")
    assert report["isolation"] == isolation
    assert [e["response"]["body"] for e in report["exchanges"]] == [f"memory={n} global={n}" for n in counts]


def test_changed_memory():
    report = run("ballast", "--config", "{mib: 1, dirty: 10}", "--request", "GET /1", "--request", "GET /2")
    page = os.sysconf("SC_PAGE_SIZE")
    first, second = [e["changedBytes"] for e in report["exchanges"]]
    assert 10 * page <= first <= 16 * page
    assert second == 0
    assert report["log"] == [{"source": "log", "level": "info", "text": "ballast guest initialised"}]


def test_environment_and_mounts(tmp_path):
    (tmp_path / "hello").write_text("from the mount")
    exchange = one("wasi-probe", "--env", "A=b", "--request", "GET /environ")
    assert exchange["response"]["body"] == "A=b\n"
    exchange = one("wasi-probe", "--mount", f"{tmp_path}:/data:ro", "--request", "GET /read/hello")
    assert "from the mount" in exchange["response"]["body"]


def test_requests_from_a_file(tmp_path):
    (tmp_path / "requests.http").write_text("GET /a HTTP/1.1\nHost: h\n\n"
                                            "POST /b HTTP/1.1\nHost: h\nContent-Length: 3\n\nabc\n")
    (tmp_path / "requests.json").write_text(json.dumps([
        {"target": "/a", "headers": {"Host": "h"}},
        {"method": "POST", "target": "/b", "headers": {"Host": "h"}, "body": "abc", "response": {"status": 201}}]))
    for name in "requests.http", "requests.json":
        exchanges = run("header", "--requests", name, directory=tmp_path)["exchanges"]
        assert [e["request"]["target"] for e in exchanges] == ["/a", "/b"]
        assert exchanges[1]["forwarded"]["body"] == "abc"
        assert exchanges[1]["forwarded"]["host"] == "h"
    assert exchanges[1]["response"]["status"] == 201


def test_a_trap():
    report = run("trap", "--config", "{phase: request}", "--request", "GET /evil", "--request", "GET /good", status=1)
    assert report["failed"] == 1
    exchange = report["exchanges"][0]
    assert exchange["handleRequest"] == "failed"
    assert exchange["cause"] == "trap"
    assert "unreachable executed, in func[" in exchange["error"]
    assert exchange["forwarded"] is None
    assert exchange["response"] == {"by": "weir", "status": 500, "headers": [], "bodyBytes": 0, "body": ""}
    assert report["exchanges"][1]["cause"] is None
    out = says("trap", "run", "--config", "{phase: request}", "--request", "GET /evil", status=1)
    assert "result     failed: trap: handle_request: unreachable executed" in out
    assert "guest-secret" not in out


def test_a_trap_in_the_response():
    """Nothing had been sent: the upstream's response does not come through."""
    exchange = one("trap", "--config", "{phase: response, features: 2}", "--request", "GET /evil", "--response-body",
                   "half", status=1)
    assert (exchange["handleRequest"], exchange["handleResponse"]) == ("next", "failed")
    assert exchange["response"]["by"] == "weir"
    exchange = one("trap", "--config", "{phase: response}", "--request", "GET /evil", "--response-body", "sent", status=1)
    assert exchange["response"]["body"] == "sent"


def test_a_loop():
    exchange = one("loop", "--config", "{phase: request}", "--request", "GET /evil", "--callCPU", "50ms", status=1)
    assert exchange["cause"] == "deadline"
    assert "used up its 50 ms of CPU time" in exchange["error"]
    assert exchange["yields"] > 0


def test_a_sleeper():
    exchange = one("sleeper", "--request", "GET /evil", "--exchangeTime", "100ms", status=1)
    assert exchange["cause"] == "deadline"
    assert exchange["sleeps"] > 0


def test_memory_limit():
    exchange = one("memory-bomb", "--request", "GET /evil", "--memory", "1MiB", status=1)
    assert exchange["cause"] == "trap"
    assert "of 1048576 bytes" in exchange["error"]


def test_lines_are_bounded():
    exchange = one("endless-log", "--request", "GET /evil", "--logLines", "5", "--callCPU", "20ms", status=1)
    assert len(exchange["log"]) <= 6


def test_control_characters_do_not_reach_the_terminal(tmp_path):
    (tmp_path / "body").write_bytes(b"\x1b[31m\x07\xff\n")
    out = says("header", "run", "--response-body", f"@{tmp_path}/body")
    assert 'body 8 bytes: "\\x1b[31m\\x07\\xff\\n"' in out


# ---- inspect ----


def test_inspect():
    report = plugin("inspect", "header")
    assert report["bytes"] == os.path.getsize(path("header"))
    assert len(report["sha256"]) == 64
    imports = {(i["module"], i["name"]): i for i in report["imports"]}
    assert imports["http_handler", "get_config"]["signature"] == "(i32, i32) -> (i32)"
    assert all(i["known"] and i["why"] is None for i in report["imports"])
    exports = {e["name"]: e for e in report["exports"]}
    assert exports["handle_request"] == {"name": "handle_request", "kind": "func", "signature": "() -> (i64)"}
    assert exports["memory"]["kind"] == "memory"
    assert report["memory"]["minBytes"] % 65536 == 0
    assert report["memory"]["maxBytes"] is None
    assert report["code"]["responseEmpty"] is True
    assert report["code"]["initialize"] is True
    assert report["code"]["obstacles"] == []
    assert report["start"]["ok"] is True
    assert report["start"]["imageBytes"] > 0
    assert report["costs"]["makeNs"] > 0
    assert report["costs"]["restoredBy"] in ("scan", "pagemap", "drop")
    assert report["advice"]["isolation"] == "reset"


def test_inspect_as_text():
    out = says("ballast", "inspect", "--config", "{mib: 1}")
    for text in ("imports (", "exports (", "func   handle_request", "handle_response     not empty",
                 "starts by           _start", "can be copied       yes", '"ballast guest initialised"',
                 "drew random numbers no", "isolation advised: reuse"):
        assert text in out
    assert all(line == line.rstrip() for line in out.splitlines())
    advice = out[out.index("isolation advised"):].splitlines()[1:]
    assert all(len(line) <= 80 and line[2] != " " for line in advice)


def test_inspect_a_guest_that_keeps_state():
    report = plugin("inspect", "counter")
    assert report["costs"]["keepsState"] is True
    assert report["costs"]["changedBytes"] > 0
    assert report["advice"]["isolation"] == "reuse"


def test_inspect_a_guest_that_draws_entropy():
    if not os.path.exists(path("go-header")):
        pytest.skip("the Go guest was not built: no Go >= 1.24")
    report = plugin("inspect", "go-header")
    assert report["start"]["drewEntropy"] is True
    assert report["advice"]["isolation"] == "reuse"
    assert "random numbers" in report["advice"]["why"]


def test_inspect_a_guest_that_cannot_be_copied(tmp_path):
    file = tmp_path / "tables.wasm"
    file.write_bytes(module_that_changes_tables())
    report = plugin("inspect", str(file))
    assert report["code"]["changesTables"] is True
    assert report["code"]["obstacles"] == ["changes tables while it runs"]
    assert report["start"]["init"] == "own"
    assert report["costs"]["cloned"] is False
    assert report["costs"]["restoreNs"] is None
    assert report["advice"]["isolation"] == "reuse"


@pytest.mark.parametrize("guest, error", [
    ("missing-request", "guest doesn't export func[handle_request]"),
    ("unknown-module", "module[env] not instantiated"),
    ("sockets", "WASI socket extensions"),
    ("wrong-import", "has the wrong signature: found"),
])
def test_inspect_what_is_no_plugin(guest, error):
    """Everything else is told all the same."""
    report = plugin("inspect", guest, status=1)
    assert report["start"]["compiles"] is False
    assert error in report["start"]["error"]
    assert report["costs"] is None
    unknown = [i for i in report["imports"] if not i["known"]]
    assert len(unknown) == (0 if guest == "missing-request" else 1)
    assert all(i["why"] in report["start"]["error"] for i in unknown)
    out = says(guest, "inspect", status=1)
    assert "cannot be loaded" in out
    assert ("not known here" in out) == bool(unknown)


def test_inspect_a_guest_that_does_not_start():
    report = plugin("inspect", "trap-start", status=1)
    assert report["start"]["compiles"] is True
    assert "unreachable executed" in report["start"]["error"]
    assert report["start"]["log"][0]["text"] == "guest traps in _start"
    assert "cannot start" in says("trap-start", "inspect", status=1)


def test_inspect_a_guest_that_fails_at_requests():
    report = plugin("inspect", "trap", "--config", "{phase: request}", "--request", "GET /evil")
    assert "trap: handle_request" in report["costs"]["error"]
    assert report["advice"]["isolation"] == "reuse"
    assert "cannot be told" in says("trap", "inspect", "--config", "{phase: request}", "--request", "GET /evil")


# ---- bench ----


def test_bench():
    report = plugin("bench", "counter", "--count", "200")
    assert [i["isolation"] for i in report["isolations"]] == ["reuse", "reset", "fresh"]
    for isolation in report["isolations"]:
        assert isolation["exchanges"] == 200
        assert isolation["cpuNs"] > 0
        assert isolation["inForce"] == isolation["isolation"]
    reuse, reset, _ = report["isolations"]
    assert reuse["restoredBytes"] == 0
    assert report["cloned"] is True
    if report["restoredBy"] != "drop":
        assert reset["restoredBytes"] >= os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("method", ["scan", "pagemap", "drop"])
def test_bench_one_isolation_by_each_method(method):
    code, out, err = weir("plugin", "bench", path("counter"), "--isolation", "reset", "--count", "50", "--restore", method,
                          "--json")
    if code != 0:
        assert f'cannot be put back by "{method}" here' in err
        return
    report = json.loads(out)
    assert report["restoredBy"] == method
    assert [i["isolation"] for i in report["isolations"]] == ["reset"]


def test_bench_as_text():
    out = says("header", "bench", "--for", "20ms")
    rows = [line.split()[0] for line in out.splitlines() if line.startswith("  ") and line.split()[0] in ("reuse", "reset", "fresh")]
    assert rows == ["reuse", "reset", "fresh"]


def test_bench_says_what_is_in_force(tmp_path):
    file = tmp_path / "tables.wasm"
    file.write_bytes(module_that_changes_tables())
    isolations = plugin("bench", str(file), "--count", "3")["isolations"]
    assert [i["inForce"] for i in isolations] == ["reuse", "fresh", "fresh"]


def test_bench_ends_at_a_failure():
    error = fails("bench", path("trap"), "--config", "{phase: request}", "--request", "GET /evil", "--count", "3")
    assert "trap: handle_request: unreachable executed" in error


# ---- compile ----


def compiled(directory, *guests, status=0):
    code, out, err = weir("plugin", "compile", "--json", "--cache", str(directory), *map(path, guests))
    assert (code, err) == (status, "")
    return json.loads(out)


def test_compile(tmp_path):
    report = compiled(tmp_path / "c", "header", "counter")
    assert report["cache"] == str(tmp_path / "c")
    assert report["failed"] == 0
    assert [(m["file"], m["found"], m["error"]) for m in report["modules"]] == [
        (path("header"), False, None), (path("counter"), False, None)]
    assert [m["found"] for m in compiled(tmp_path / "c", "header", "auth")["modules"]] == [True, False]
    report = plugin("inspect", "header", "--cache", str(tmp_path / "c"))
    assert report["start"]["found"] is True


def test_compile_goes_on_after_a_failure(tmp_path):
    report = compiled(tmp_path / "c", "missing-request", "header", status=1)
    assert report["failed"] == 1
    assert report["modules"][0]["error"] == "guest doesn't export func[handle_request]"
    assert report["modules"][1]["error"] is None
    code, out, err = weir("plugin", "compile", "--cache", str(tmp_path / "c"), path("missing-request"), path("header"))
    assert code == 1
    assert out == f"{path('header')}: was there\n"
    assert err == f"weir: {path('missing-request')}: guest doesn't export func[handle_request]\n"


def test_compile_needs_a_place(tmp_path):
    assert "no cache directory" in fails("compile", path("header"), "--cache", "none")
    (tmp_path / "file").write_text("")
    error = fails("compile", path("header"), "--cache", str(tmp_path / "file"))
    assert "compiled modules are not kept: " in error and str(tmp_path / "file") in error


# ---- errors ----


@pytest.mark.parametrize("command", ["inspect", "run", "bench"])
class TestErrors:
    def test_missing_file(self, command, tmp_path):
        assert fails(command, "nothere.wasm", directory=tmp_path) == "weir: nothere.wasm: No such file or directory\n"

    def test_damaged_module(self, command, tmp_path):
        (tmp_path / "cut.wasm").write_bytes((guests_directory() / "header.wasm").read_bytes()[:100])
        error = fails(command, "cut.wasm", directory=tmp_path)
        assert error.startswith("weir: cut.wasm: is a damaged WebAssembly module: at byte ") or "at byte" in error
        assert "of 100" in error

    def test_not_a_module(self, command, tmp_path):
        (tmp_path / "text.wasm").write_text("hello, world")
        error = fails(command, "text.wasm", directory=tmp_path)
        assert "is not a WebAssembly module: begins with 68 65 6c 6c 6f" in error

    def test_unknown_option(self, command):
        assert fails(command, "x.wasm", "--jsn") == f"weir: plugin {command}: --jsn: unknown option, did you mean --json?\n"

    def test_bad_value(self, command):
        error = fails(command, "x.wasm", "--callCPU", "soon")
        assert "callCPU" in error and '"soon"' in error and "expected a duration" in error

    def test_bad_configuration(self, command):
        error = fails(command, path("header"), "--config", "{a: [}")
        assert "--config: text:1:" in error

    def test_no_file(self, command):
        assert "expected a WebAssembly module" in fails(command)

    def test_help(self, command):
        code, out, err = weir("plugin", command, "--help")
        assert (code, err) == (0, "")
        assert "--config TEXT|@FILE" in out
        assert "--callCPU" in out


def test_broken_requests(tmp_path):
    (tmp_path / "r").write_text("GET /a HTTP/1.1\nHost: h\n\nnonsense\n\n")
    error = fails("run", path("header"), "--requests", "r", directory=tmp_path)
    assert error.startswith("weir: ") and "r: request 2, from byte 25 on: " in error


def test_commands():
    code, out, err = weir("plugin", "help")
    assert (code, err) == (0, "")
    assert all(f"\n  {command} " in out for command in ("inspect", "run", "bench", "compile"))
    code, out, err = weir("plugin", "inspekt")
    assert (code, out) == (1, "")
    assert 'unknown command "inspekt"' in err


def test_version():
    code, out, err = weir("version")
    assert (code, err) == (0, "")
    assert "Engine:       Wasmtime " in out
    code, text, err = weir("version", "--json")
    report = json.loads(text)
    assert f"Restore:      {report['restore']}\n" in out
    assert [m["method"] for m in report["restoreMethods"]] == ["scan", "pagemap", "drop"]
    assert report["restore"] == next(m["method"] for m in report["restoreMethods"] if m["works"])
    for method in report["restoreMethods"]:
        assert method["works"] == (method["error"] is None)
    assert weir("version", "--jsn")[0] == 1

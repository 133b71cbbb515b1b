"""Wrong input, one test each: the message names the place, what was found and what was expected."""

import re
import socket

import pytest

from harness.guests import module_without_memory
from harness.ports import free_port
from harness.process import CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE
from harness.proxy import Plugin, merge, one_router, run_command, servers

GOOD_STATIC = """entryPoints:
  web:
    address: "127.0.0.1:{port}"
providers:
  file:
    filename: dynamic.yml
"""
GOOD_DYNAMIC = """http:
  routers:
    r:
      rule: Host(`a.example`)
      service: s
  services:
    s:
      loadBalancer:
        servers:
          - url: http://127.0.0.1:1
"""

pytestmark = pytest.mark.differs("the messages are weir's own")


@pytest.fixture
def files(tmp_path):
    """Writes the two files and runs `weir check`, or weir itself: (exit code, output)."""

    def run(static=None, dynamic=None, arguments=("check", "--configFile=static.yml"), **options):
        (tmp_path / "static.yml").write_text(static or GOOD_STATIC.format(port=free_port()))
        (tmp_path / "dynamic.yml").write_text(dynamic or GOOD_DYNAMIC)
        return run_command(tmp_path, *arguments, **options)

    run.directory = tmp_path
    return run


def says(output, *patterns):
    for pattern in patterns:
        assert re.search(pattern, output), f"{pattern!r} is not in:\n{output}"
    return True


def line_of(text, fragment):
    return text[: text.index(fragment)].count("\n") + 1


def test_users_of_urls_are_not_shown(files):
    dynamic = GOOD_DYNAMIC.replace("http://127.0.0.1:1", "http://me:open-sesame@127.0.0.1:1") + """  middlewares:
    asked:
      forwardAuth:
        address: http://me:open-sesame@127.0.0.1:2/auth
"""
    static = GOOD_STATIC.format(port=free_port()) + "  http:\n    endpoint: http://me:open-sesame@127.0.0.1:3/\n"
    code, output = files(static, dynamic)
    assert code == 0 and "open-sesame" not in output
    says(output, "http://xxxx@127.0.0.1:1", "http://xxxx@127.0.0.1:2/auth", "http://xxxx@127.0.0.1:3/")
    for wrong in ("http://me:open-sesame@a b", "ftp://me:open-sesame@a", "http://me:open-sesame/1@a", "me:open-sesame@a"):
        code, output = files(dynamic=GOOD_DYNAMIC.replace("http://127.0.0.1:1", wrong))
        assert code == 1 and "open-sesame" not in output, output
        says(output, "server URL")


def test_good_files_pass(files):
    code, output = files()
    assert code == 0, output


@pytest.mark.parametrize("command", [("check",), ()], ids=["check", "run"])
def test_missing_static_file(files, command):
    code, output = files(arguments=(*command, "--configFile=nothere.yml"))
    assert code == 1
    says(output, r"nothere\.yml", r"[Nn]o such file")


def test_missing_dynamic_file(files):
    static = GOOD_STATIC.format(port=free_port()).replace("dynamic.yml", "nothere.yml")
    code, output = files(static)
    assert code == 1
    says(output, r"nothere\.yml", r"[Nn]o such file")


def test_static_wrong_type(files):
    static = GOOD_STATIC.format(port=free_port()) + "weir:\n  workers: many\n"
    code, output = files(static)
    assert code == 1
    says(output, rf"static\.yml:{line_of(static, 'many')}:\d+", r"workers", r"found .?many", r"expected an? .*(integer|number)")


def test_static_wrong_duration(files):
    static = GOOD_STATIC.format(port=free_port()).replace(
        "providers:", "    transport:\n      respondingTimeouts:\n        readTimeout: soon\nproviders:")
    code, output = files(static)
    assert code == 1
    says(output, rf"static\.yml:{line_of(static, 'soon')}:\d+", r"readTimeout", r"found .?soon", r"expected .*duration")


def test_static_list_for_an_object(files):
    static = "entryPoints:\n  - web\n"
    code, output = files(static)
    assert code == 1
    says(output, r"static\.yml:2:\d+", r"entryPoints", r"found a list", r"expected")


def test_static_unknown_key(files):
    static = GOOD_STATIC.format(port=free_port()).replace("address:", "adress:")
    code, output = files(static)
    assert code == 1
    says(output, rf"static\.yml:{line_of(static, 'adress')}:\d+", r"adress", r"address\b")


def test_unknown_flag(files):
    code, output = files(arguments=("check", "--entryPoints.web.adress=127.0.0.1:1"))
    assert code == 1
    says(output, r"adress", r"address\b")


def test_static_bad_address(files):
    static = GOOD_STATIC.format(port=free_port()).replace('"127.0.0.1:', '"127.0.0.1;')
    code, output = files(static)
    assert code == 1
    says(output, r"static\.yml:3:\d+", r"entryPoints\.web\.address", r"127\.0\.0\.1;", r"missing port|expected \[host\]:port")


def test_broken_yaml(files):
    code, output = files("entryPoints:\n  web: [\n")
    assert code == 1
    says(output, r"static\.yml:\d+:\d+")


def test_tab_in_yaml(files):
    code, output = files(GOOD_STATIC.format(port=free_port()).replace("    address", "\taddress"))
    assert code == 1
    says(output, r"static\.yml:3:1: found a tab, expected spaces")


def test_text_that_is_not_utf8(files):
    files()
    (files.directory / "latin1.yml").write_bytes(GOOD_STATIC.format(port=free_port()).encode() + b"# \xc3\xa9 \xe9\n")
    code, output = run_command(files.directory, "check", "--configFile=latin1.yml")
    assert code == 1
    says(output, r"latin1\.yml:7:5: .*expected UTF-8")


def test_limits_of_a_plugin_that_is_not_declared(files):
    code, output = files(GOOD_STATIC.format(port=free_port()) + "weir:\n  plugins:\n    perPlugin:\n      nope:\n        memory: 64MiB\n")
    assert code == 0
    says(output, r"static\.yml:11:9: weir\.plugins\.perPlugin: found \"nope\", expected .*localPlugins")


def test_file_beside_directory_is_warned_about(files):
    (files.directory / "conf").mkdir()
    code, output = files(GOOD_STATIC.format(port=free_port()) + "    directory: conf\n")
    assert code == 0
    says(output, r"static\.yml:6:\d+: providers\.file\.filename is ignored")


@pytest.mark.parametrize("name,meant", [("WEIR_WORKER", "WEIR_WORKERS"), ("TRAEFIK_ENTRYPOINT_WEB_ADDRESS", "TRAEFIK_ENTRYPOINTS_WEB_ADDRESS")])
def test_misspelt_variable(tmp_path, name, meant):
    _, output = run_command(tmp_path, "check", environment={name: "1", "XDG_CONFIG_HOME": "/nothere", "HOME": "/nothere"})
    says(output, rf"variable {name}: unknown option is ignored; did you mean {meant}\?")


def test_empty_static_file(files):
    code, output = files("# nothing\n")
    assert code == 1
    says(output, r"static\.yml", r"expected")


def test_refused_option_is_named(files):
    static = GOOD_STATIC.format(port=free_port()) + "certificatesResolvers:\n  le:\n    acme:\n      storage: acme.json\n"
    code, output = files(static)
    assert code == 1
    says(output, r"static\.yml:[0-9]+:\d+", r"certificatesResolvers", r"not supported")


def test_ignored_option_is_warned_about_once(files):
    static = GOOD_STATIC.format(port=free_port()) + "global:\n  sendAnonymousUsage: true\n"
    code, output = files(static)
    assert code == 0, output
    assert output.count("sendAnonymousUsage") >= 1


def test_unknown_root_key_is_ignored(files):
    code, output = files(GOOD_STATIC.format(port=free_port()) + "somethingElse:\n  x: 1\n")
    assert code == 0, output


DYNAMIC = {
    "wrong type": ("rule: Host(`a.example`)", "rule: [a]", "[a]", [r"rule", r"found a list", r"expected"]),
    "unknown key": ("service: s", "servcie: s", "servcie", [r"servcie", r"service\b"]),
    "wrong number": ("service: s", "service: s\n      priority: high", "high", [r"priority", r"found .?high", r"expected"]),
}


@pytest.mark.parametrize("case", DYNAMIC)
def test_dynamic_file(files, case):
    old, new, fragment, patterns = DYNAMIC[case]
    dynamic = GOOD_DYNAMIC.replace(old, new, 1)
    code, output = files(dynamic=dynamic)
    assert code == 1
    says(output, rf"dynamic\.yml:{line_of(dynamic, fragment)}:\d+", *patterns)


# The texts are Traefik's: what people search for.
RULES = {
    "unclosed": ("Host(`a`", r"1:9: missing ',' before newline in argument list"),
    "unknown matcher": ("Hots(`a`)", r"unsupported function: Hots"),
    "missing argument": ("Host()", r"checking rule Host"),
    "too many arguments": ("Header(`a`, `b`, `c`)", r"Header.*(expected|3)"),
    "single quotes": ("Host('a')", r"unsupported function argument type: 'CHAR'"),
    "bad regexp": ("PathRegexp(`(`)", r"PathRegexp.*missing closing \)"),
    "path without slash": ("Path(`a`)", r'path "a" does not start with a \'/\''),
    "bad address": ("ClientIP(`1.2.3.400`)", r"1\.2\.3\.400"),
    "dangling operator": ("Host(`a`) &&", r"expected operand"),
}


@pytest.mark.parametrize("case", RULES)
def test_bad_rule(files, case):
    rule, pattern = RULES[case]
    code, output = files(dynamic=GOOD_DYNAMIC.replace("Host(`a.example`)", '"' + rule + '"'))
    assert code == 1
    says(output, r"router r@file", re.escape(rule), pattern)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:1", "127.0.0.1:1", "http://", "http://127.0.0.1:notaport", "http://127.0.0.1:70000"])
def test_bad_url(files, url):
    code, output = files(dynamic=GOOD_DYNAMIC.replace("http://127.0.0.1:1", f'"{url}"'))
    assert code == 1
    says(output, r"[rs]@file", re.escape(url), r"expected|missing host|invalid port|unsupported")


def test_server_that_cannot_be_has_its_turns(upstream, proxy):
    """Its port is out of range: requests to it are answered 502, those to the other server are served."""
    server = upstream()
    p = proxy(one_router(server.url))
    p.apply(merge(one_router(server.url), {"http": {"services": {"s": servers("http://127.0.0.1:70000", server.url)}}}))
    assert {p.fetch().status for _ in range(10)} <= {200, 502} and server.requests
    p.wait_log("Server cannot be reached", "http://127.0.0.1:70000", "invalid port", "serviceName=s@file")
    p.apply(one_router("http://127.0.0.1:70000"))
    assert p.fetch().status == 502


def test_missing_service(files):
    code, output = files(dynamic=GOOD_DYNAMIC.replace("service: s", "service: nothere"))
    assert code == 1
    says(output, r"nothere")


@pytest.mark.parametrize("name", ["api@internal", "ping@internal"])
def test_internal_service_that_is_not_there(files, name):
    code, output = files(dynamic=GOOD_DYNAMIC.replace("service: s", f"service: {name}"))
    assert code == 1
    says(output, rf"dynamic\.yml:3:5: router r@file.*{name.split('@')[0]} is not enabled")


def test_missing_entry_point_names_those_that_exist(files):
    code, output = files(dynamic=GOOD_DYNAMIC.replace("service: s", "service: s\n      entryPoints: [websecure]"))
    assert code == 1
    says(output, r"dynamic\.yml:3:5: router r@file on websecure: EntryPoint doesn't exist, expected one of web")


def test_port_in_use(files):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = files(GOOD_STATIC.format(port=port), arguments=("--configFile=static.yml",))
    assert code == 1
    says(output, rf"127\.0\.0\.1:{port}", r"[Aa]ddress already in use", r"web")


def test_no_permission_for_the_file(files):
    files()
    (files.directory / "static.yml").chmod(0)
    code, output = run_command(files.directory, "check", "--configFile=static.yml", dropped=(CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH))
    assert code == 1
    says(output, r"static\.yml", r"[Pp]ermission denied")


def test_no_permission_for_the_port(files):
    if int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read()) <= 81:
        pytest.skip("every port is free for everybody here")
    code, output = files(GOOD_STATIC.format(port=81), arguments=("--configFile=static.yml",), dropped=(CAP_NET_BIND_SERVICE,))
    assert code == 1
    says(output, r"127\.0\.0\.1:81", r"[Pp]ermission denied", r"web")


def test_configuration_is_a_directory(files):
    (files.directory / "folder.yml").mkdir()
    code, output = files(arguments=("check", "--configFile=folder.yml"))
    assert code == 1
    says(output, r"folder\.yml", r"found a directory|expected a regular file")


# --- plugins that cannot be loaded: the reason is in the log, and only their routers are away

def plugin_case(upstream, proxy, wasm, config=None, manifest=None, settings=None):
    server = upstream()
    good = one_router(server.url, rule="Host(`good.example`)")
    bad = one_router(server.url, rule="Host(`bad.example`)", plugin={"guest": config or {}})["http"]
    http = merge(good["http"], {"routers": {"bad": bad["routers"]["r"]}, "middlewares": bad["middlewares"]})
    http["routers"]["other"] = {"rule": "Host(`other.example`)", "service": "s", "middlewares": ["fine"]}
    http["middlewares"]["fine"] = {"plugin": {"fine": {"response": {"X-Fine": "1"}}}}
    p = proxy({"http": http}, plugins={"guest": Plugin(wasm, settings, manifest), "fine": Plugin("header")})
    assert p.fetch(host="good.example").body == b"ok"
    assert p.fetch(host="other.example").get("X-Fine") == "1"
    assert p.fetch(host="bad.example").status == 404
    return p.wait_log("bad")


MODULES = {
    "missing handle_response": ("missing-response", [r"handle_response"]),
    "missing handle_request": ("missing-request", [r"handle_request"]),
    "missing memory": (module_without_memory(), [r"memory"]),
    "wrong signature": ("wrong-signature", [r"handle_request", r"i32", r"i64"]),
    "unknown function": ("unknown-function", [r"await_response", r"http_handler"]),
    "unknown module": ("unknown-module", [r"env", r"mystery"]),
    "wrong import type": ("wrong-import", [r"\blog\b", r"i32"]),
    "socket extension": ("sockets", [r"sock_open", r"socket"]),
    "not wasm": (b"this is not wasm", [r"wasm"]),
    "empty file": (b"", [r"wasm|empty|0 bytes"]),
    "truncated wasm": (b"\0asm\x01\0\0\0\x01\x7f", [r"WebAssembly|wasm"]),
    "component": (b"\0asm\x0d\0\x01\0", [r"component|version"]),
}


@pytest.mark.parametrize("case", MODULES)
def test_module_that_cannot_be_loaded(upstream, proxy, case):
    wasm, patterns = MODULES[case]
    says(plugin_case(upstream, proxy, wasm), r"guest", *patterns)


@pytest.mark.parametrize("phase,code", [("init", 1), ("start", 1), ("init", 3)])
def test_guest_that_exits_while_it_initialises(upstream, proxy, phase, code):
    log = plugin_case(upstream, proxy, "exit", {"phase": phase, "code": code})
    says(log, "guest exits because its configuration says so", rf"exit[ _]code\(?\s*{code}|exit code {code}")


def test_guest_that_traps_while_it_initialises(upstream, proxy):
    says(plugin_case(upstream, proxy, "trap", {"phase": "init"}), "guest is about to trap", r"unreachable|trap")


def test_guest_that_traps_in_start(upstream, proxy):
    log = plugin_case(upstream, proxy, "trap-start")
    says(log, "guest traps in _start")
    assert "_initialize ran after" not in log


def test_guest_that_loops_while_it_initialises(upstream, proxy):
    server = upstream()
    dynamic = merge(one_router(server.url, rule="Host(`bad.example`)", plugin={"guest": {"phase": "init"}}),
                    {"http": {"routers": {"good": {"rule": "Host(`good.example`)", "service": "s"}}}})
    p = proxy(dynamic, plugins={"guest": Plugin("loop")},
              static={"weir": {"plugins": {"defaults": {"initTime": "500ms", "callCPU": "300ms"}}}})
    assert p.fetch(host="good.example").body == b"ok"
    assert p.fetch(host="bad.example").status == 404
    p.wait_log("guest", "time")


def test_unknown_alias(upstream, proxy):
    server = upstream()
    good = one_router(server.url, rule="Host(`good.example`)")
    bad = one_router(server.url, rule="Host(`bad.example`)", plugin={"nope": {}})["http"]
    p = proxy(merge(good, {"http": {"routers": {"bad": bad["routers"]["r"]}, "middlewares": bad["middlewares"]}}))
    assert p.fetch(host="good.example").body == b"ok"
    assert p.fetch(host="bad.example").status == 404
    p.wait_log("nope", "unknown plugin type")


def test_two_aliases_in_one_middleware(upstream, proxy):
    server = upstream()
    dynamic = one_router(server.url, plugin={"header": {}, "other": {}})
    p = proxy(dynamic, plugins={"header": Plugin("header"), "other": Plugin("header")})
    assert p.fetch().status == 404
    p.wait_log("plugin")


def test_missing_wasm_file(upstream, proxy):
    server = upstream()
    p = proxy(one_router(server.url, plugin={"guest": {}}), plugins={"guest": Plugin("header")}, start=False)
    original = p.write_files

    def without_wasm():
        original()
        (p.directory / "plugins-local" / "src" / "example.org" / "guest" / "plugin.wasm").unlink()

    p.write_files = without_wasm
    p.start()
    assert p.fetch().status == 404
    says(p.wait_log("plugin.wasm"), r"[Nn]o such file")


MANIFESTS = {
    "yaegi": ("displayName: x\ntype: middleware\nimport: example.org/x\nsummary: x\ntestData: {}\n", r"yaegi|runtime"),
    "provider": ("displayName: x\ntype: provider\nruntime: wasm\nsummary: x\ntestData: {}\n", r"type|provider"),
    "no summary": ("displayName: x\ntype: middleware\nruntime: wasm\ntestData: {}\n", r"summary"),
    "no test data": ("displayName: x\ntype: middleware\nruntime: wasm\nsummary: x\n", r"testData"),
    "path outside": ("displayName: x\ntype: middleware\nruntime: wasm\nwasmPath: ../x.wasm\nsummary: x\ntestData: {}\n", r"wasmPath|\.\./x\.wasm"),
    "absolute path": ("displayName: x\ntype: middleware\nruntime: wasm\nwasmPath: /x.wasm\nsummary: x\ntestData: {}\n", r"wasmPath|/x\.wasm"),
    "not YAML": ("[", r"\.traefik\.yml"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_bad_manifest(upstream, proxy, case):
    manifest, pattern = MANIFESTS[case]
    says(plugin_case(upstream, proxy, "header", manifest=manifest), pattern)


@pytest.mark.parametrize("mounts,pattern", [(["a:b:c:d"], r"a:b:c:d|invalid directory"), (["/does/not/exist:/x"], r"/does/not/exist")])
def test_bad_mount(upstream, proxy, mounts, pattern):
    says(plugin_case(upstream, proxy, "wasi-probe", settings={"mounts": mounts}), pattern)


@pytest.mark.parametrize("case", ["module", "manifest"])
def test_abort_on_plugin_failure(upstream, proxy, case):
    plugin = Plugin(b"not wasm") if case == "module" else Plugin("header", manifest="displayName: x\n")
    p = proxy(one_router(upstream().url), plugins={"guest": plugin}, start=False,
              static={"experimental": {"abortOnPluginFailure": True}})
    p.expected_exit = 1
    p.ports = {name: free_port() for name in p.entry_point_names()}
    p.write_files()
    p.spawn()
    assert p.wait_exit() == 1
    says(p.log(), r"guest", r"wasm|\.traefik\.yml")


def test_check_reports_plugins(files):
    static = GOOD_STATIC.format(port=free_port()) + (
        "experimental:\n  localPlugins:\n    missing:\n      moduleName: example.org/missing\n")
    code, output = files(static)
    assert code == 1
    says(output, r"missing", r"\.traefik\.yml|No such file")
    assert output.count("No such file") == 1, output


@pytest.mark.parametrize("name", ["", "/abs/olute", "a/../../b", "a/"])
def test_bad_module_name(files, name):
    static = GOOD_STATIC.format(port=free_port()) + (
        f"experimental:\n  localPlugins:\n    p:\n      moduleName: '{name}'\n")
    code, output = files(static)
    assert code == 1
    says(output, rf"plugin p: moduleName: found \"{re.escape(name)}\", expected a path such as")


def test_disabled_router_is_named_once(files):
    code, output = files(dynamic=GOOD_DYNAMIC.replace("service: s", "service: s\n      parentRefs: [x]"))
    assert code == 1
    assert output.count("parentRefs is not supported") == 1, output


def test_services_used_by_several_bad_routers(upstream, proxy):
    """Every disabled router is named, not only the first."""
    server = upstream()
    http = {"routers": {f"bad{i}": {"rule": f"Host(`x{i}`", "service": "s"} for i in range(3)}, "services": {"s": servers(server.url)}}
    p = proxy({"http": http})
    p.wait_log("bad0", "bad1", "bad2")

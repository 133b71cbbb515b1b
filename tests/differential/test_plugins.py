"""WebAssembly plugins: what guests are given, what their changes do, and what they are told about their configuration."""

import pytest

from rig.backend import echo, reply
from rig.known import Either, statuses, with_differences
from rig.messages import get, post, service
from rig.observe import Case

PLUGINS = {name: name for name in ("after", "auth", "body", "config-probe", "counter", "ctx", "features", "header", "headers-probe", "logger", "prefix-writer", "request-line", "rewrite-buffered",
                                   "rewrite-streaming", "router", "waf")}

# Middleware: (plugin, configuration)
MIDDLEWARES = {
    "header": ("header", {"request": {"X-Set": "1", "X-Old": "new", "X-Forwarded-For": "6.6.6.6", "user-agent": "guest"}, "response": {"X-Answer": "2", "Server": "guest"},
                          "add": {"X-Answer": "3", "Set-Cookie": "c=d"}, "remove": {"X-Gone": "", "Cookie": ""}}),
    "header-remove-xff": ("header", {"remove": {"X-Forwarded-For": "", "X-Real-Ip": "", "X-Forwarded-Host": ""}}),
    "header-te": ("header", {"request": {"Connection": "close", "Te": "x", "Content-Length": "3"}}),
    "router": ("router", {}), "auth": ("auth", {"token": "sesame"}), "request-line": ("request-line", {}), "ctx": ("ctx", {}), "waf": ("waf", {}), "headers-probe": ("headers-probe", {}),
    "features-0": ("features", {"init": 0}), "features-3": ("features", {"init": 3}), "features-7": ("features", {"init": 7}), "logger": ("logger", {}),
    "prefix": ("prefix-writer", {"features": 2}), "prefix-unbuffered": ("prefix-writer", {"features": 0}), "prefix-rewrite": ("prefix-writer", {"features": 2, "rewrite": True}),
    "rewrite": ("rewrite-buffered", {"from": "hello", "to": "goodbye"}), "streaming": ("rewrite-streaming", {"request": True, "tail": "!"}), "counter": ("counter", {}),
    **{f"request-{mode}": ("body", {"features": 3, "request": mode}) for mode in ("none", "part", "all", "rewrite", "collect", "write", "empty", "longer", "stop")},
    **{f"response-{mode}": ("body", {"features": 3, "response": mode}) for mode in ("none", "part", "all", "rewrite", "collect", "write", "empty", "longer")},
    "unbuffered-request-all": ("body", {"features": 0, "request": "all"}), "unbuffered-request-write": ("body", {"features": 0, "request": "write"}),
    "unbuffered-stop": ("body", {"features": 0, "request": "stop"}),
    **{f"after-{call}": ("after", {"features": 2, "call": call}) for call in (
        "set_request_header", "set_method", "set_uri", "write_request_body", "read_request_body", "set_response_header", "set_status", "write_response_body", "read_response_body", "get_status",
        "content_length_0", "remove_content_length", "nonsense")},
    **{f"after-plain-{call}": ("after", {"features": 0, "call": call}) for call in ("set_response_header", "set_status", "write_response_body", "read_response_body", "get_status")},
}


def on(name, *requests, script=None, suffix="", **options):
    host = f"{name}.example"
    return Case(name + suffix, [request.replace(b"site.example", host.encode()) for request in requests], script=script, **options)


def cases():
    yield on("header", get("/", ("X-Old", "old"), ("X-Gone", "1"), ("Cookie", "a=b")), script=reply(headers=[("X-Answer", "b"), ("Server", "b")]))
    yield on("header-remove-xff", get("/", ("X-Forwarded-For", "1.1.1.1")))
    yield on("header-te", post("/", b"hello"), script=echo)
    yield on("router", get("/host/a%2Fb?c=d"), suffix="-next")
    yield on("router", get("/other"), suffix="-answer")
    yield on("router", get("/host"), suffix="-empty")
    yield on("router", post("/other", b"x" * 1000), suffix="-answer-post")
    yield on("auth", get("/", ("Authorization", "Bearer sesame")), suffix="-yes")
    yield on("auth", get(), suffix="-no")
    yield on("auth", get(method="HEAD"), suffix="-no-head")
    yield on("auth", post(), suffix="-no-post")
    for target in ("/", "/a?b=c", "/a//../b", "/%41%2f?x;y", "*", "/a?"):
        yield on("request-line", get(target, ("X-Show", "1"), method="OPTIONS" if target == "*" else "GET"), suffix=f"-show-{target}", ignore=("answer0.body",) if target != "*" else ())
    for uri in ("/new?x=y", "/a%2Fb", "/a//b/../c", "relative", "http://other.example/abs?q", "/?", "?only", "<empty>", "/%zz", "/sp ace", "/a#frag", "//double"):
        yield on("request-line", get("/old?q", ("X-Set-Uri", uri)), suffix=f"-set-{uri}")
    for method in ("PUT", "delete", "<empty>", "B AD", "HEAD"):
        yield on("request-line", get("/", ("X-Set-Method", method)), suffix=f"-method-{method}")
    yield on("request-line", get("/", ("X-Show", "1"), version="1.0"), suffix="-1.0", ending="read", ignore=("answer0.body",))
    yield on("ctx", get())
    yield on("ctx", get(), get(), get(), suffix="-thrice")
    yield on("waf", get("/fine"), suffix="-pass")
    yield on("waf", get("/attack"), suffix="-uri")
    yield on("waf", post("/", b"an attack"), suffix="-body")
    yield on("waf", post("/", b"fine"), script=echo, suffix="-body-pass")
    yield on("waf", get(), script=reply(body=b"a secret"), suffix="-leak")
    yield on("waf", get(), script=reply(headers=[("X-Leak", "1")]), suffix="-leak-header")
    for path in ("/", "/set-host", "/empty-name", "/kind", "/trailers", "/crlf", "/crlf-request", "/add", "/limits", "/response"):
        yield on("headers-probe", get(path, ("X-B", "2"), ("X-A", "1"), ("x-multi", "m"), ("X-Multi", "n")), suffix=f"-{path[1:]}")
    yield on("headers-probe", get("/", host="site.example:81"), suffix="-host-port")
    yield on("headers-probe", post("/", b"body", ("Te", "trailers")), suffix="-post")
    yield on("headers-probe", post("/", chunks=[b"body"]), suffix="-chunked")
    for asked in ("0", "1", "2", "3", "4", "255"):
        yield on("features-0", get("/", ("X-Features", asked)), suffix=f"-{asked}")
    yield on("features-3", get("/", ("X-Features", "0")))
    yield on("features-7", get("/", ("X-Features", "0")))
    yield on("logger", get())
    for name in ("prefix", "prefix-unbuffered", "prefix-rewrite"):
        yield on(name, get(), script=reply(headers=[("X-Both", "backend")], body=b"backend"))
    yield on("rewrite", post("/", b"say hello and hello"), script=echo, ignore=("answer0.status",))  # 200 cut short, or 500
    yield on("rewrite", get(), script=reply(body=b"hello hello"), suffix="-get")
    yield on("rewrite", get(), script=reply(chunks=[b"hel", b"lo"]), suffix="-chunked")
    yield on("rewrite", get(), script=reply(body=b"other"), suffix="-untouched")
    yield on("streaming", post("/", b"abc"), script=echo)
    yield on("streaming", get(), script=reply(body=b"lower"), suffix="-get")
    for body in (b"", b"abc", b"x" * 3000):
        for name in MIDDLEWARES:
            if (name, len(body)) == ("request-longer", 3000):
                continue  # Traefik answers before its request is out, which then arrives during the next case
            if name.startswith(("request-", "unbuffered-")) and name != "request-line":
                yield on(name, post("/", body), script=echo, suffix=f"-{len(body)}")
            if name.startswith("response-"):
                yield on(name, get(), script=reply(body=body), suffix=f"-{len(body)}")
    yield on("request-rewrite", post("/", chunks=[b"abc", b"def"]), script=echo, suffix="-chunked")
    yield on("response-rewrite", get(), script=reply(chunks=[b"abc", b"def"]), suffix="-chunked")
    yield on("response-rewrite", get(method="HEAD"), script=reply(headers=[("Content-Length", "3")], body=b""), suffix="-head")
    for name in MIDDLEWARES:
        if name.startswith("after-"):
            yield on(name, get(), script=reply(body=b"backend"))
    yield Case("unknown-plugin", [get(host="unknown.example")])
    yield Case("two-plugins", [get(host="two.example")])
    yield Case("two-kinds", [get(host="two-kinds.example")])


# A guest that fails: Traefik shows the client the guest's own text, or ends the connection.
SHOWN = {"differs": {"answer0.status": ("HTTP/1.1 500 Internal Server Error", "HTTP/1.1 500 Internal Server Error"),
                     "answer0.header.x-content-type-options": (None, ["nosniff"])}, "why": "plugin-errors", "loosely": True}
CUT = (None, "500 Internal Server Error", "plugin-errors")
# A body that was read, written or replaced: Traefik loses it, keeps the old length, or ends the connection.
BROKEN = "plugin-bodies"
DIFFERS = {
    **{name: SHOWN for name in ("request-line-set-relative", "request-line-set-?only", "request-line-set-/%zz", "request-line-method-<empty>", "request-line-method-B AD", "headers-probe-empty-name",
                                "headers-probe-kind")},
    **statuses(*CUT, *(f"after-{call}" for call in ("set_request_header", "set_method", "set_uri", "write_request_body", "read_request_body", "nonsense"))),
    **statuses(None, "200 OK", "plugin-unbuffered", *(f"after-plain-{call}" for call in ("set_response_header", "set_status", "write_response_body", "read_response_body", "get_status"))),
    "header": {"differs": {"answer0.header.server": (["guest", "b"], ["b"])}, "why": "plugin-server-field"},
    "auth-no-head": {"differs": {"answer0.header.content-length": (None, ["0"])}, "why": "plugin-length"},
    **{name: {"differs": {"ending": ("closed", "kept, 503")}, "why": "plugin-length"} for name in ("waf-leak", "waf-leak-header", "after-content_length_0")},
    "headers-probe-set-host": {"differs": {"answer0.status": ("HTTP/1.1 200 OK",) * 2}, "why": "plugin-host", "loosely": True},
    **statuses("200 OK", "500 Internal Server Error", "plugin-trailers", "headers-probe-trailers"),
    **statuses("500 Internal Server Error", "200 OK", "plugin-line-breaks", "headers-probe-crlf-request"),
    "features-0-4": {"differs": {"answer0.body": (b"init=0 request=4", b"init=0 request=0")}, "why": "plugin-features"},
    "features-0-255": {"differs": {"answer0.body": (b"init=0 request=255", b"init=0 request=3")}, "why": "plugin-features"},
    "features-7": {"differs": {"answer0.body": (b"init=7 request=7", b"init=3 request=3")}, "why": "plugin-features"},
    "logger": {"differs": {"answer0.header.x-enabled": (["11111"], ["01111"])}, "why": "plugin-log-enabled"},
    "prefix-unbuffered": {"differs": {"answer0.header.x-both": (["guest"], ["guest", "backend"])}, "why": "plugin-unbuffered"},
    **statuses(None, "200 OK", BROKEN, "request-line-method-HEAD", "after-write_response_body", "prefix", "prefix-rewrite", "rewrite-get", *(f"response-{mode}-{size}" for mode in ("write", "empty", "longer") for size in (3, 3000))),
    # The answer may overtake the failure to send the request's body.
    **statuses(Either("500 Internal Server Error", "200 OK"), "200 OK", BROKEN, "request-longer-3", *(f"{mode}-{size}" for mode in ("request-write", "request-empty", "unbuffered-request-write") for size in (3, 3000))),
    **statuses("502 Bad Gateway", "200 OK", BROKEN, "request-part-3000", "unbuffered-request-all-3", "unbuffered-request-all-3000"),
    "rewrite": {"differs": {"ending": ("kept, 503",) * 2}, "why": BROKEN, "loosely": True},
    **{name: {"differs": {"answer0.body": theirs_ours}, "why": BROKEN, "loosely": True} for name, theirs_ours in {
        "request-write-0": (b"", b"written"), "response-write-0": (b"", b"written"),
        "unbuffered-request-write-0": (b"", b"written")}.items()},
    "request-rewrite-chunked": {"differs": {"upstream0.header.transfer-encoding": (["chunked"], None), "upstream0.header.content-length": (None, ["6"])}, "why": "plugin-length"},
}

# Whether Traefik sends an answer of a guest's with a length or in chunks depends on how fast it was.
FRAMING = ("answer0.header.transfer-encoding", "answer0.header.content-length")
GUEST_ANSWERS = ("router-", "request-line-", "headers-probe", "features-", "unbuffered-stop", "request-stop", "prefix")


def prepared(case):
    if case.name.startswith(GUEST_ANSWERS):
        case.ignore += FRAMING
    if case.name.startswith("ctx"):  # how many instances there are, and which one it is
        case.ignore += tuple(f"answer{i}.header.x-ctx" for i in range(3))
    return with_differences(case, DIFFERS)


@pytest.fixture(scope="module")
def pair(pairs):
    middlewares = {name: {"plugin": {plugin: configuration}} for name, (plugin, configuration) in MIDDLEWARES.items()}
    middlewares |= {"unknown": {"plugin": {"nowhere": {}}}, "two": {"plugin": {"header": {}, "auth": {}}},
                    "two-kinds": {"plugin": {"header": {}}, "addPrefix": {"prefix": "/x"}}}
    routers = {name: {"rule": f"HostRegexp(`^{name}\\.example$`)", "service": "s", "middlewares": [name]} for name in middlewares}
    return pairs(dynamic={"http": {"routers": routers, "middlewares": middlewares, "services": {"s": service("a")}}}, plugins=PLUGINS)


@pytest.mark.parametrize("case", [prepared(case) for case in cases()], ids=str)
def test_plugins(pair, case):
    pair.check(case, timeout_s=10)


# The configuration as YAML and as TOML; the answer's body is what the guest was given.
CONFIGURATIONS = {
    "string": ('s: hello', 's = "hello"'), "integer": ("i: 10", "i = 10"), "negative": ("i: -3", "i = -3"), "float": ("f: 1.5", "f = 1.5"), "whole-float": ("f: 2.0", "f = 2.0"),
    "small-float": ("f: 0.0000001", "f = 0.0000001"), "exponent": ("f: 1e3", "f = 1e3"), "bool": ("b: true", "b = true"), "false": ("b: false", "b = false"), "empty-string": ('s: ""', 's = ""'),
    "empty-map": ("m: {}", "m = {}"), "empty-list": ("l: []", "l = []"), "integers": ("l: [1, 2]", "l = [1, 2]"), "bools": ("l: [true, false]", "l = [true, false]"), "floats": ("l: [1.5, 2.5]", "l = [1.5, 2.5]"),
    "strings": ("l: [a, b]", 'l = ["a", "b"]'), "one-string": ("l: [a]", 'l = ["a"]'), "maps": ("l: [{a: 1}, {b: c}]", 'l = [{a = 1}, {b = "c"}]'), "nested": ("m: {n: {o: 1, P: x}}", 'm = {n = {o = 1, P = "x"}}'),
    "case": ("KeyCase: Value", 'KeyCase = "Value"'), "escapes": ('s: "<a>&\'\\"\\\\ \\u00e9 \\n\\t"', 's = "<a>&\'\\"\\\\ \\u00e9 \\n\\t"'), "order": ("b: 1\na: 2\nC: 3", "b = 1\na = 2\nC = 3"), "comma": ('s: "a,b"', 's = "a,b"'),
    "dotted-key": ('"a.b": c', '"a.b" = "c"'), "list-in-map": ("m: {l: [1, 2]}", "m = {l = [1, 2]}"),
    "unicode-key": ('"é": 1', '"é" = 1'), "spaces": ('s: "  x  "', 's = "  x  "'), "large": ("i: 9007199254740993", "i = 9007199254740993"), "hex": ("i: 0x1f", "i = 0x1f"), "line-separator": ('s: "\\u2028"', 's = "\\u2028"'),
    "list-in-list-of-maps": ("l: [{a: [1, 2], m: {x: true}}]", "l = [{a = [1, 2], m = {x = true}}]"), "map-of-empty": ("m: {a: {}, b: 1}", "m = {a = {}, b = 1}"),
}
YAML_ONLY = {
    "null": "x: null\ny: 1", "tilde": "x: ~", "mixed": "l: [1, a, true]", "mixed-floats": "l: [1, 2.6]", "yes": "b: yes", "octal": "i: 010", "quoted-number": 's: "10"', "block": "s: |\n  two\n  lines", "anchor": "a: &x 1\nb: *x",
    "merge": "a: &x {k: 1}\nb: {<<: *x, l: 2}", "integer-key": "1: a", "bool-key": "true: a", "infinity": "f: .inf", "folded": "s: >\n  one\n  line",
}


def indented(text, by):
    return "\n".join(by + line for line in text.split("\n"))


def yaml_file():
    lines = ["http:", "  routers:", "    marker: {rule: 'Host(`probe.differential`)', priority: 1000000, service: marker}"]
    texts = {**{name: yaml for name, (yaml, _) in CONFIGURATIONS.items()}, **YAML_ONLY}
    for name in texts:
        lines.append(f"    y-{name}: {{rule: 'Host(`{name}.yaml.example`)', service: s, middlewares: [y-{name}]}}")
    lines += ["  services:", "    marker: {loadBalancer: {servers: []}}", "    s: {loadBalancer: {servers: [{url: 'http://127.0.0.1:<<a>>'}]}}", "  middlewares:"]
    for name, text in texts.items():
        lines += [f"    y-{name}:", "      plugin:", "        config-probe:", indented(text, "          ")]
    return "\n".join(lines) + "\n"


def toml_file():
    lines = []
    for name, (_, text) in CONFIGURATIONS.items():
        lines += [f"[http.routers.t-{name}]", f"rule = 'Host(`{name}.toml.example`)'", "service = 't'", f"middlewares = ['t-{name}']", f"[http.middlewares.t-{name}.plugin.config-probe]", text]
    return "\n".join(lines + ["[[http.services.t.loadBalancer.servers]]", "url = 'http://127.0.0.1:<<a>>'"]) + "\n"


CONFIGURATION_DIFFERS = {
    "yaml-integer-key": {"differs": {"answer0.body": (b'{"\\u003cint Value\\u003e":"a"}', b'{"1":"a"}')}, "why": "plugin-odd-keys"},
    "yaml-bool-key": {"differs": {"answer0.body": (b'{"\\u003cbool Value\\u003e":"a"}', b'{"true":"a"}')}, "why": "plugin-odd-keys"},
}


@pytest.fixture(scope="module")
def configured_pair(pairs):
    return pairs(static={"providers": {"file": {"filename": None, "directory": "dynamic"}}}, plugins={"config-probe": "config-probe"},
                 files={"dynamic.yml": None, "dynamic/a.yml": yaml_file(), "dynamic/b.toml": toml_file()})


@pytest.mark.parametrize("case", [with_differences(Case(f"{form}-{name}", [get(host=f"{name}.{form}.example")], ignore=FRAMING), CONFIGURATION_DIFFERS)
                                  for form, names in (("yaml", [*CONFIGURATIONS, *YAML_ONLY]), ("toml", CONFIGURATIONS)) for name in names], ids=str)
def test_configuration_of_a_plugin(configured_pair, case):
    configured_pair.check(case)


# Where plugins stand: at entry points, at services, and one behind the other.
PLACES = {"outer": {"response": {"X-Outer": "1"}, "request": {"X-Order": "outer"}}, "inner": {"response": {"X-Inner": "1"}, "request": {"X-Order": "inner"}}}


@pytest.fixture(scope="module")
def placed(pairs):
    routers = {"both": {"rule": "Host(`both.example`)", "middlewares": ["outer", "inner"], "service": "plain"}, "turned": {"rule": "Host(`turned.example`)", "middlewares": ["inner", "outer"], "service": "plain"},
               "service": {"rule": "Host(`service.example`)", "service": "with"}, "router-and-service": {"rule": "Host(`each.example`)", "middlewares": ["outer"], "service": "with"},
               "auth-first": {"rule": "Host(`auth.example`)", "middlewares": ["auth", "outer"], "service": "plain"}, "qualified": {"rule": "Host(`qualified.example`)", "middlewares": ["outer@file"], "service": "plain"},
               "twice": {"rule": "Host(`twice.example`)", "middlewares": ["outer", "outer"], "service": "plain"}}
    middlewares = {name: {"plugin": {"header": options}} for name, options in PLACES.items()} | {"auth": {"plugin": {"auth": {"token": "t"}}}}
    services = {"plain": service("a"), "with": {**service("a"), "middlewares": ["inner"]}}
    return pairs(static={"entryPoints": {"dressed": {"http": {"middlewares": ["outer@file"]}}}}, entry_points=("web", "dressed"),
                 dynamic={"http": {"routers": routers, "middlewares": middlewares, "services": services}}, plugins={"header": "header", "auth": "auth"})


@pytest.mark.parametrize("entry_point", ["web", "dressed"])
@pytest.mark.parametrize("host", ["both", "turned", "service", "each", "auth", "qualified", "twice", "nobody"])
def test_places(placed, host, entry_point):
    case = Case(f"{host} on {entry_point}", [get(host=f"{host}.example")], entry_point=entry_point, ignore=FRAMING)
    placed.check(case)

"""Where the configuration may come from and in which form; what is refused as a whole."""

import subprocess

import pytest

from rig import programs
from rig.messages import get
from rig.observe import Case
from harness.client import fetch
from harness.message import Closed

STATIC_YAML = """
entryPoints:
  web:
    address: "127.0.0.1:<<web>>"
    http: {sanitizePath: false}
log: {level: INFO}
global: {checkNewVersion: false, sendAnonymousUsage: false}
providers:
  providersThrottleDuration: 50ms
  file: {filename: dynamic.yml}
"""
STATIC_TOML = """
[entryPoints.web]
address = "127.0.0.1:<<web>>"
[entryPoints.web.http]
sanitizePath = false
[log]
level = "INFO"
[global]
checkNewVersion = false
sendAnonymousUsage = false
[providers]
providersThrottleDuration = "50ms"
[providers.file]
filename = "dynamic.yml"
"""
STATIC_JSON = """{"entryPoints": {"web": {"address": "127.0.0.1:<<web>>", "http": {"sanitizePath": false}}}, "log": {"level": "INFO"},
"global": {"checkNewVersion": false, "sendAnonymousUsage": false}, "providers": {"providersThrottleDuration": "50ms", "file": {"filename": "dynamic.yml"}}}"""
FLAGS = ["--entryPoints.web.address=127.0.0.1:<<web>>", "--entrypoints.web.http.sanitizepath=false", "--log.level=INFO", "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false",
         "--providers.providersThrottleDuration=50ms", "--providers.file.filename=dynamic.yml"]
ENVIRONMENT = {"TRAEFIK_ENTRYPOINTS_WEB_ADDRESS": "127.0.0.1:<<web>>", "TRAEFIK_ENTRYPOINTS_WEB_HTTP_SANITIZEPATH": "false", "TRAEFIK_LOG_LEVEL": "INFO", "TRAEFIK_GLOBAL_CHECKNEWVERSION": "false",
               "TRAEFIK_GLOBAL_SENDANONYMOUSUSAGE": "false", "TRAEFIK_PROVIDERS_PROVIDERSTHROTTLEDURATION": "50ms", "TRAEFIK_PROVIDERS_FILE_FILENAME": "dynamic.yml"}

DYNAMIC_YAML = """
http:
  routers:
    marker: {rule: "Host(`probe.differential`)", priority: 1000000, service: marker}
    r: {rule: "PathPrefix(`/`)", service: s}
  services:
    marker: {loadBalancer: {servers: []}}
    s: {loadBalancer: {servers: [{url: "http://127.0.0.1:<<a>>"}]}}
"""
DYNAMIC_TOML = """
[http.routers.marker]
rule = "Host(`probe.differential`)"
priority = 1000000
service = "marker"
[http.routers.r]
rule = "PathPrefix(`/`)"
service = "s"
[http.services.marker.loadBalancer]
servers = []
[[http.services.s.loadBalancer.servers]]
url = "http://127.0.0.1:<<a>>"
"""
DYNAMIC_JSON = """{"http": {"routers": {"marker": {"rule": "Host(`probe.differential`)", "priority": 1000000, "service": "marker"}, "r": {"rule": "PathPrefix(`/`)", "service": "s"}},
"services": {"marker": {"loadBalancer": {"servers": []}}, "s": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:<<a>>"}]}}}}}"""


def with_file(static, name):
    return static.replace("dynamic.yml", name)


# Name: files, arguments, environment. The path without sanitising shows that the static configuration was read.
FORMS = {
    "yaml": ({"static.yml": STATIC_YAML, "dynamic.yml": DYNAMIC_YAML}, ["--configFile=static.yml"], {}),
    "toml": ({"static.toml": STATIC_TOML, "dynamic.yml": DYNAMIC_YAML}, ["--configFile=static.toml"], {}),
    "json": ({"static.json": STATIC_JSON, "dynamic.yml": DYNAMIC_YAML}, ["--configFile=static.json"], {}),
    "yaml-suffix": ({"static.yaml": STATIC_YAML, "dynamic.yml": DYNAMIC_YAML}, ["--configFile=static.yaml"], {}),
    "dynamic-toml": ({"static.yml": with_file(STATIC_YAML, "dynamic.toml"), "dynamic.toml": DYNAMIC_TOML}, ["--configFile=static.yml"], {}),
    "dynamic-yaml-suffix": ({"static.yml": with_file(STATIC_YAML, "dynamic.yaml"), "dynamic.yaml": DYNAMIC_YAML}, ["--configFile=static.yml"], {}),
    "dynamic-json-in-yaml": ({"static.yml": STATIC_YAML, "dynamic.yml": DYNAMIC_JSON}, ["--configFile=static.yml"], {}),
    "toml-toml": ({"static.toml": with_file(STATIC_TOML, "dynamic.toml"), "dynamic.toml": DYNAMIC_TOML}, ["--configFile=static.toml"], {}),
    "one-file": ({"both.yml": with_file(STATIC_YAML, "both.yml") + DYNAMIC_YAML}, ["--configFile=both.yml"], {}),
    "one-toml-file": ({"both.toml": with_file(STATIC_TOML, "both.toml") + DYNAMIC_TOML}, ["--configFile=both.toml"], {}),
    "flags": ({"dynamic.yml": DYNAMIC_YAML}, FLAGS, {}),
    "flags-one-dash": ({"dynamic.yml": DYNAMIC_YAML}, [flag[1:] for flag in FLAGS], {}),
    "environment": ({"dynamic.yml": DYNAMIC_YAML}, [], ENVIRONMENT),
    "found-here": ({"traefik.yml": STATIC_YAML, "dynamic.yml": DYNAMIC_YAML}, [], {}),
    "found-toml-first": ({"traefik.yml": "nonsense: [", "traefik.toml": STATIC_TOML, "dynamic.yml": DYNAMIC_YAML}, [], {}),
    "file-over-flags": ({"static.yml": STATIC_YAML, "dynamic.yml": DYNAMIC_YAML}, ["--configFile=static.yml", "--entryPoints.web.http.sanitizePath=true"], {}),
    "file-over-environment": ({"static.yml": STATIC_YAML, "dynamic.yml": DYNAMIC_YAML}, ["--configFile=static.yml"], {"TRAEFIK_ENTRYPOINTS_WEB_HTTP_SANITIZEPATH": "true"}),
    "flags-over-environment": ({"dynamic.yml": DYNAMIC_YAML}, FLAGS, {"TRAEFIK_ENTRYPOINTS_WEB_HTTP_SANITIZEPATH": "true", "TRAEFIK_NONSENSE": "1"}),
    "key-case": ({"static.yml": STATIC_YAML.replace("entryPoints", "ENTRYPOINTS").replace("sanitizePath", "SanitizePath"), "dynamic.yml": DYNAMIC_YAML.replace("loadBalancer", "LOADBALANCER")},
                 ["--configfile=static.yml"], {}),
    "unknown-root-keys": ({"static.yml": STATIC_YAML + "\nnonsense: {a: b}\n", "dynamic.yml": DYNAMIC_YAML + "\nnonsense: 1\n"}, ["--configFile=static.yml"], {}),
    "directory": ({"static.yml": STATIC_YAML.replace("filename: dynamic.yml", "directory: conf"), "conf/b.toml": DYNAMIC_TOML, "conf/ignored.txt": "nonsense: [", "conf/c.yaml": "# nothing"},
                  ["--configFile=static.yml"], {}),
    "directory-below": ({"static.yml": STATIC_YAML.replace("filename: dynamic.yml", "directory: conf"), "conf/below/a.yml": DYNAMIC_YAML}, ["--configFile=static.yml"], {}),
    "directory-duplicates": ({"static.yml": STATIC_YAML.replace("filename: dynamic.yml", "directory: conf"), "conf/a.yml": DYNAMIC_YAML,
                              "conf/b.yml": "http: {routers: {r: {rule: 'Path(`/none`)', service: s}}}"}, ["--configFile=static.yml"], {}),
    "template-env": ({"static.yml": STATIC_YAML, "dynamic.yml": DYNAMIC_YAML.replace("PathPrefix(`/`)", 'PathPrefix(`{{ env "DIFFERENTIAL_PREFIX" }}`)')}, ["--configFile=static.yml"],
                     {"DIFFERENTIAL_PREFIX": "/a"}),
    "template-range": ({"static.yml": STATIC_YAML, "dynamic.yml": DYNAMIC_YAML.replace("    r: {", '{{ range $i := until 3 }}\n    r{{ $i }}: {rule: "Path(`/a{{ $i }}`)", service: s}\n{{ end }}\n    r: {')
                        .replace("PathPrefix(`/`)", "Path(`/only`)")}, ["--configFile=static.yml"], {}),
    "template-functions": ({"static.yml": STATIC_YAML, "dynamic.yml": DYNAMIC_YAML.replace("PathPrefix(`/`)", 'Path(`/{{ "A" | lower }}{{ printf "%02d" 7 }}{{ trimSuffix "x" "bx" }}`)')}, ["--configFile=static.yml"], {}),
    "template-range-list": ({"static.yml": STATIC_YAML, "dynamic.yml": DYNAMIC_YAML.replace("PathPrefix(`/`)", '{{ range $i, $p := list "/a0" "/a07b" }}{{ if $i }} || {{ end }}Path(`{{ $p }}`){{ end }}')}, ["--configFile=static.yml"], {}),
    "template-in-toml": ({"static.yml": with_file(STATIC_YAML, "dynamic.toml"), "dynamic.toml": DYNAMIC_TOML.replace("PathPrefix(`/`)", 'Path(`/a{{ add 1 -1 }}`)')}, ["--configFile=static.yml"], {}),
    "template-default": ({"static.yml": STATIC_YAML, "dynamic.yml": DYNAMIC_YAML.replace("PathPrefix(`/`)", 'PathPrefix(`{{ env "NOT_SET" | default "/a0" }}`)')}, ["--configFile=static.yml"], {}),
    "anchors": ({"static.yml": STATIC_YAML, "dynamic.yml": DYNAMIC_YAML.replace("service: marker}", "service: &m marker}").replace("r: {rule", "r: &r {rule") + "\n"}, ["--configFile=static.yml"], {}),
    "string-numbers": ({"static.yml": STATIC_YAML, "dynamic.yml": DYNAMIC_YAML.replace("priority: 1000000", 'priority: "1000000"')}, ["--configFile=static.yml"], {}),
    "bom": ({"static.yml": STATIC_YAML, "dynamic.yml": "\ufeff" + DYNAMIC_YAML.lstrip()}, ["--configFile=static.yml"], {}),
    "crlf": ({"static.yml": STATIC_YAML.replace("\n", "\r\n"), "dynamic.yml": DYNAMIC_YAML.replace("\n", "\r\n")}, ["--configFile=static.yml"], {}),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(pairs, name):
    files, arguments, environment = FORMS[name]
    pair = pairs(files={"static.yml": None, "dynamic.yml": None, **files}, arguments=tuple(arguments), environment=environment)
    for target in ("/", "/a//b", "/a0", "/a1", "/a07b", "/only", "/x"):
        pair.check(Case(f"{name} {target}", [get(target)]))


# Static configurations that end the program at once.
BAD_STATIC = {
    "unknown-nested": STATIC_YAML.replace("log: {level: INFO}", "log: {levle: INFO}"), "wrong-type": STATIC_YAML.replace("sanitizePath: false", "sanitizePath: maybe"), "syntax": "entryPoints: [",
    "empty": "", "only-unknown": "nonsense: 1", "bad-duration": STATIC_YAML.replace("50ms", "soon"), "bad-address": STATIC_YAML.replace('"127.0.0.1:<<web>>"', "nonsense"),
    "bad-trusted-ip": STATIC_YAML.replace("http: {sanitizePath: false}", "forwardedHeaders: {trustedIPs: [300.0.0.1]}"), "removed-option": STATIC_YAML + "\npilot: {token: x}\n",
    "list-for-map": STATIC_YAML.replace("log: {level: INFO}", "log: [INFO]"), "bad-rule-syntax": STATIC_YAML + "\ncore: {defaultRuleSyntax: v9}\n",
    "bad-strategy": STATIC_YAML.replace("sanitizePath: false", "aliasHeadersStrategy: maybe"), "null-entry-point": STATIC_YAML.replace("    http: {sanitizePath: false}", "  other:"),
}
BAD_ARGUMENTS = {"two-words": FLAGS[0].split("=") + FLAGS[1:], "unknown-flag": FLAGS + ["--nonsense=1"], "unknown-nested-flag": FLAGS + ["--log.nonsense=1"], "bad-value": FLAGS + ["--entryPoints.web.http.sanitizePath=maybe"],
                 "no-file": ["--configFile=absent.yml"], "unknown-command": ["nonsense"]}


def outcome(program, directory, arguments):
    """The exit status, or "serves" when the program is still alive after it printed that it started."""
    process = subprocess.Popen([program, *arguments], cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env={"HOME": str(directory), "PATH": "/usr/bin:/bin"})
    try:
        process.communicate(timeout=3)
        return "fails" if process.returncode != 0 else "ends"
    except subprocess.TimeoutExpired:
        return "serves"
    finally:
        process.kill()
        process.communicate()


STATIC_DIFFERS = {
    "null-entry-point": ("serves", "serves"),
    # Rows "configuration-strict" and "configuration-lenient" of docs/compatibility.md.
    "list-for-map": ("serves", "fails"),
    "no-file": ("serves", "fails"),
    "two-words": ("fails", "serves"),
}


@pytest.mark.parametrize("name", [*BAD_STATIC, *BAD_ARGUMENTS])
def test_bad_static(tmp_path, name):
    (tmp_path / "dynamic.yml").write_text(DYNAMIC_YAML.replace("<<a>>", "1"))
    if name in BAD_STATIC:
        (tmp_path / "static.yml").write_text(BAD_STATIC[name].replace("<<web>>", "0"))
    arguments = [argument.replace("<<web>>", "0") for argument in BAD_ARGUMENTS.get(name, ["--configFile=static.yml"])]
    found = tuple(outcome(program, tmp_path, arguments) for program in (programs.traefik(), programs.weir()))
    assert found == STATIC_DIFFERS.get(name, ("fails", "fails")), "(Traefik, weir)"


GOOD = "http: {routers: {good: {rule: 'Path(`/good`)', service: s}}, services: {s: {loadBalancer: {servers: [{url: 'http://127.0.0.1:<<a>>'}]}}}"
PLUGIN = GOOD + ", middlewares: {m: {plugin: %s}}}"
# Rows "configuration-lenient" and "configuration-strict" of docs/compatibility.md.
LENIENT, STRICT = (False, True), (True, False)
# Dynamic files, and whether the router in them serves: True, False, or (Traefik, weir).
DYNAMIC = {
    "good": (GOOD + "}", True), "unknown-nested": (GOOD + ", nonsense: {}}", False), "unknown-in-router": (GOOD.replace("service: s}", "service: s, nonsense: 1}") + "}", False),
    "wrong-type": (GOOD.replace("service: s}", "service: s, priority: high}") + "}", False), "syntax": (GOOD, False), "duplicate-key": (GOOD + ", routers: {}}", False),
    "unknown-middleware": (GOOD + ", middlewares: {m: {nonsense: {}}}}", False), "two-middlewares-in-one": (GOOD + ", middlewares: {m: {addPrefix: {prefix: /x}, stripPrefix: {prefixes: [/x]}}}}", True),
    "empty-middleware": (GOOD + ", middlewares: {m: {}}}", True), "template-error": (GOOD + "} # {{ nonsense }}", False), "template-syntax": (GOOD + "} # {{ if }}", False), "tabs": ("http:\n\trouters: {}", False),
    "plugin-empty": (PLUGIN % "{}", False), "plugin-date": (PLUGIN % "{p: {d: 2024-01-02}}", LENIENT), "plugin-list-of-lists": (PLUGIN % "{p: {l: [[1, 2]]}}", LENIENT),
    "plugin-null-in-list": (PLUGIN % "{p: {l: [a, null]}}", LENIENT), "plugin-timestamp": (PLUGIN % "{p: {d: 2024-01-02T03:04:05Z}}", LENIENT),
    "number-for-string": (GOOD.replace("service: s}", "service: s, entryPoints: [web, 1]}") + "}", True), "string-for-list": (GOOD.replace("service: s}", "service: s, entryPoints: web}") + "}", True),
    "tcp": (GOOD + "}\ntcp: {routers: {t: {rule: 'HostSNI(`*`)', service: t}}, services: {t: {loadBalancer: {servers: [{address: '127.0.0.1:1'}]}}}}", (False, True)),
    "tls": (GOOD + "}\ntls: {options: {default: {minVersion: VersionTLS12}}}", True), "two-documents": (GOOD + "}\n---\nhttp: {}", STRICT), "null-service": (GOOD.replace("service: s}", "service: null}") + "}", False),
    "bad-weight": (GOOD.replace("'}]", "', weight: heavy}]") + "}", False), "float-weight": (GOOD.replace("'}]", "', weight: 1.5}]") + "}", False), "http-empty": ("http: {}", False), "null-router": (GOOD.replace("good: {", "other: null, good: {") + "}", True),
}


def _status(instance, target, host):
    try:
        return fetch(next(iter(instance.ports.values())), target=target, host=host).status
    except (Closed, OSError):
        return None


@pytest.mark.parametrize("name", DYNAMIC)
def test_dynamic(pairs, name):
    text, expected = DYNAMIC[name]
    pair = pairs(files={"dynamic.yml": text}, ready=lambda instance: _settled(instance))
    found = tuple(_status(instance, "/good", "site.example") == 200 for instance in (pair.traefik, pair.weir))
    assert found == (expected if isinstance(expected, tuple) else (expected, expected)), f"(Traefik, weir)\n{pair.weir.log()}"


def _settled(instance):
    """Whether the file was applied or refused."""
    log = instance.log()
    return _status(instance, "/good", "site.example") == 200 or "ERR" in log

"""`weir check --explain`: what a request goes through."""

import os
import subprocess

import pytest

from harness.ports import free_port
from harness.proxy import Plugin, merge, one_router, program, servers

pytestmark = pytest.mark.differs("Traefik does not explain")

HTTP = {"http": {
    "routers": {"app": {"rule": "Host(`app.example`) && PathPrefix(`/api`)", "service": "app", "middlewares": ["both", "login"]},
                "rest": {"rule": "PathPrefix(`/`)", "service": "one", "entryPoints": ["web"]}},
    "middlewares": {"both": {"chain": {"middlewares": ["strip", "mark"]}}, "strip": {"stripPrefix": {"prefixes": ["/api"]}},
                    "mark": {"plugin": {"header": {"response": {"X-A": "secret of the plugin"}}}}, "login": {"basicAuth": {"users": ["me:$apr1$secret"]}},
                    "limit": {"rateLimit": {"average": 10}}, "first": {"addPrefix": {"prefix": "/first"}}},
    "services": {"app": {"loadBalancer": {"servers": [{"url": "http://user:pw@127.0.0.1:1"}, {"url": "http://127.0.0.1:2"}]}, "middlewares": ["limit"]},
                 "one": servers("http://127.0.0.1:3")}}}


def explain(proxy, dynamic):
    p = proxy(dynamic, start=False, plugins={"header": Plugin("header")}, static={"entryPoints": {"web": {"http": {"middlewares": ["first@file"]}}}})
    p.ports = {name: free_port() for name in p.entry_point_names()}
    p.write_files()
    done = subprocess.run([program(), "check", "--explain", "--configFile=static.yml"], cwd=p.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env=os.environ)
    return done.returncode, done.stdout, done.stderr


def part(text, begin):
    """The lines below the one that begins so, and that one's rest."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(begin))
    end = next((i for i in range(at + 1, len(lines)) if not lines[i].startswith(" ")), len(lines))
    return lines[at].removeprefix(begin), lines[at + 1:end]


def test_a_chain_in_the_order_of_a_request(proxy):
    status, text, errors = explain(proxy, HTTP)
    assert status == 0, errors
    rest, lines = part(text, "web, router app@file")
    assert rest == ": Host(`app.example`) && PathPrefix(`/api`), priority 41"
    steps = [line.strip().split(":")[0] for line in lines if not line.startswith("   ")]
    assert steps == ["1. first@file, addPrefix", "2. strip@file, stripPrefix", "3. mark@file, plugin header", "4. login@file, basicAuth", "5. limit@file, rateLimit", "service app@file"]
    assert text.index("router app@file") < text.index("router rest@file")


def test_options_with_their_defaults_and_without_secrets(proxy):
    _, text, _ = explain(proxy, HTTP)
    _, lines = part(text, "web, router app@file")
    values = dict(line.strip().split("  # ")[0].split(": ", 1) for line in lines if "  # " in line)
    assert (values["average"], values["period"], values["burst"]) == ("10", "1s", "1")
    assert values["prefixes"] == "[/api]" and values["users"] == "xxxx"
    assert "secret" not in text and "pw" not in text
    assert "service app@file: 2 servers that take turns" in text


def test_where_pages_come_from(proxy):
    """What a request for a page of `errors` goes through, in its order."""
    paged = merge(HTTP, {"http": {"routers": {"rest": {"middlewares": ["pages"]}}, "middlewares": {"pages": {"errors": {"status": ["500"], "service": "kept", "query": "/"}}},
                                  "services": {"kept": {**servers("http://127.0.0.1:4"), "middlewares": ["both", "limit"]}}}})
    status, text, errors = explain(proxy, paged)
    assert status == 0, errors
    _, lines = part(text, "web, router rest@file")
    assert "pages of kept@file by way of both@file, limit@file" in [line.strip() for line in lines]


def test_what_is_wrong_is_said_and_the_others_are_explained(proxy):
    wrong = merge(HTTP, {"http": {"middlewares": {"login": {"basicAuth": {"users": ["nobody"]}}}}})
    status, text, errors = explain(proxy, wrong)
    assert status == 1 and "app" in errors, errors
    assert "router rest@file" in text and "router app@file" not in text

"""Middlewares that ask for a password: basicAuth by tables, digestAuth in dialogues."""

import base64
import hashlib
import re

import pytest

from harness.client import Client, request_bytes
from rig.messages import get, post, service
from rig.observe import Case

# The password is "secret" but for the empty ones.
HASHES = {"bcrypt": "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "bcrypt-2a": "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "bcrypt-2x": "$2x$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
          "bcrypt-2b": "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "bcrypt-other": "$2c$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "apr1": "$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0",
          "md5": "$1$saltsalt$9xy1btjgzLYfb7hivXtC//", "sha": "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "plain": "secret", "empty": "", "crypt": "rl.3StKT.4T8M", "sha256": "$5$saltsalt$mL6PuJyE.xi7dGrV1n0TfVcP7bCr.lF2cQ4dXVbBC.5",
          "cut": "$2y$04$abc", "sha-empty": "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "apr1-empty": "$apr1$saltsalt$a8ml/vK5HEjiZ5oypDWA7/"}
USERS = [f"{name}:{secret}" for name, secret in HASHES.items()]

BASIC = {
    "basic": {"users": USERS},
    "realm": {"users": USERS, "realm": "the \\\"inner\\\" circle"},
    "realm-empty": {"users": USERS, "realm": ""},
    "field": {"users": USERS, "headerField": "X-User"},
    "field-lower": {"users": USERS, "headerField": "x-user"},
    "remove": {"users": USERS, "removeHeader": True},
    "field-authorization": {"users": USERS, "headerField": "Authorization", "removeHeader": True},
    "file": {"usersFile": "users"},
    "file-and-users": {"usersFile": "users", "users": ["file:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "more:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="]},
    "twice": {"users": ["sha:x", HASHES["sha"].join(["sha:", ""])]},
    "none": {"users": []},
    "no-options": {"realm": "x"},
    "bad-user": {"users": ["just-a-name"]},
    "bad-colons": {"users": ["a:b:c"]},
    "bad-file": {"usersFile": "missing"},
    "empty-file": {"usersFile": "empty"},
}
FILE = "# users\n\n  file:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=  \r\nsha:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nsecond:$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0\n"


def basic(user, password="secret", scheme="Basic"):
    return ("Authorization", f"{scheme} " + base64.b64encode(f"{user}:{password}".encode()).decode())


def on(name, *requests, suffix="", **options):
    return Case(f"{name}{suffix}", [request.replace(b"site.example", f"{name}.example".encode()) for request in requests], **options)


def cases():
    for name in BASIC:
        yield on(name, get())
        for user in ("sha", "apr1", "file", "more", "second", "nobody"):
            for password in ("secret", "wrong", ""):
                yield on(name, get("/", basic(user, password), ("X-User", "forged")), suffix=f" {user} {password}")
    for user in HASHES:
        for password in ("secret", "Secret", "", "secret" * 20, "secrét", "secret\0", "se:cret"):
            yield on("basic", get("/", basic(user, password)), suffix=f" {user} {password!r} again")
    for i, value in enumerate(("", "Basic", "Basic ", "basic " + base64.b64encode(b"sha:secret").decode(), "BASIC " + base64.b64encode(b"sha:secret").decode(), "Basic  " + base64.b64encode(b"sha:secret").decode(), "Basic c2hhOnNlY3JldA", "Basic c2hh",
                               "Basic Og==", "Basic !!!!", "Bearer x", "Basic " + base64.b64encode(b":secret").decode(), "Basic " + base64.b64encode(b"sha:secret").decode() + " ", "Basic " + base64.b64encode(b"sha:secret").decode() + ", x",
                               "Basic " + base64.b64encode(b"sha\0:secret").decode(), "Basic " + "A" * 5000)):
        yield on("basic", get("/", ("Authorization", value)), suffix=f" value {i}")
    yield on("basic", get("/", basic("sha"), basic("nobody")), suffix=" two fields")
    yield on("basic", get("/", basic("nobody"), basic("sha")), suffix=" two fields, wrong first")
    yield on("basic", get("/", ("Proxy-Authorization", basic("sha")[1])), suffix=" proxy field")
    yield on("basic", get("/", basic("sha"), method="HEAD"), suffix=" head")
    yield on("basic", get(method="HEAD"), suffix=" refused head")
    yield on("basic", get(method="OPTIONS"), suffix=" refused options")
    yield on("basic", post("/", b"hello" * 1000), suffix=" refused post")
    yield on("basic", post("/", b"hello", basic("bcrypt")), suffix=" post")
    yield on("basic", get("/", basic("bcrypt")), get("/", basic("bcrypt")), get("/", basic("bcrypt", "x")), get("/", basic("bcrypt")), suffix=" kept alive")
    yield on("basic", get("/", basic("sha"), version="1.0"), suffix=" 1.0", ending="read")
    for name in ("basic-then-plugin", "plugin-then-basic", "two-realms", "strip-then-basic", "cors-then-basic", "header-then-basic"):
        yield on(name, get("/old/x"))
        yield on(name, get("/old/x", basic("apr1")), suffix=" right")


DIGEST = {
    "digest": {}, "digest-realm": {"realm": "elsewhere"}, "digest-field": {"headerField": "X-User"}, "digest-remove": {"removeHeader": True},
}


def md5(*parts):
    return hashlib.md5(":".join(parts).encode()).hexdigest()


def digest_users():
    return [f"{user}:{realm}:{md5(user, realm, 'secret')}" for user in ("me", "you") for realm in ("traefik", "elsewhere")]


@pytest.fixture(scope="module")
def pair(pairs):
    middlewares = {name: {"basicAuth": options} for name, options in BASIC.items()}
    middlewares |= {name: {"digestAuth": {"users": digest_users(), **options}} for name, options in DIGEST.items()}
    middlewares |= {"digest-none": {"digestAuth": {"realm": "x"}}, "digest-bad": {"digestAuth": {"users": ["a:b"]}}, "digest-file": {"digestAuth": {"usersFile": "digests"}},
                    "plugin": {"plugin": {"header": {"request": {"X-Guest": "1"}, "response": {"X-Answer": "2"}}}}, "strip": {"stripPrefix": {"prefixes": ["/old"]}},
                    "cors": {"headers": {"customResponseHeaders": {"X-New": "1"}, "accessControlAllowOriginList": ["*"]}}, "give": {"headers": {"customRequestHeaders": {"Authorization": basic("sha")[1]}}}}
    sequences = {"basic-then-plugin": ["field", "plugin"], "plugin-then-basic": ["plugin", "field"], "two-realms": ["basic", "realm"], "strip-then-basic": ["strip", "basic"], "cors-then-basic": ["cors", "basic"], "header-then-basic": ["give", "basic"],
                 "strip-then-digest": ["strip", "digest"]}
    routers = {name: {"middlewares": [name]} for name in middlewares} | {name: {"middlewares": names} for name, names in sequences.items()}
    routers = {name: {"rule": f"Host(`{name}.example`)", "service": "s", **router} for name, router in routers.items()}
    return pairs(dynamic={"http": {"routers": routers, "middlewares": middlewares, "services": {"s": service("a")}}}, files={"users": FILE, "empty": "# nobody\n", "digests": "\n".join(digest_users()) + "\n"}, plugins={"header": "header"})


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_basic(pair, case):
    pair.check(case)


class Dialogue:
    """One connection to one proxy, and the last challenge on it."""

    def __init__(self, instance, name):
        self.name, self.client = name, Client(instance.ports["web"], timeout_s=30)
        self.challenge = {}

    def ask(self, target="/x?y", headers=(), method="GET"):
        self.client.send(request_bytes(method, target, headers, host=f"{self.name}.example"))
        answer = self.client.response(method)
        challenge = answer.get("www-authenticate")
        if challenge:
            self.challenge = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        shown = re.sub(r'(nonce|opaque)="[A-Za-z0-9+/=]{16}"', r'\1="..."', challenge or "")
        return answer.status, shown, answer.body

    def authorization(self, user="me", password="secret", uri="/x?y", count=1, method="GET", secret=None, **changes):
        realm, nonce = self.challenge["realm"], self.challenge["nonce"]
        values = {"username": user, "realm": realm, "nonce": nonce, "uri": uri, "algorithm": "MD5", "qop": "auth", "nc": f"{count:08x}" if isinstance(count, int) else count, "cnonce": "abc", "opaque": self.challenge["opaque"], **changes}
        secret = md5(user, realm, password) if secret is None else secret
        values.setdefault("response", md5(secret, values["nonce"] or "", values["nc"] or "", values["cnonce"] or "", values["qop"] or "", md5(method, values["uri"] or "")))
        return [("Authorization", "Digest " + ", ".join(f'{key}="{value}"' for key, value in values.items() if value is not None))]

    def signed(self, target="/x?y", method="GET", **options):
        return self.ask(target, self.authorization(method=method, **{"uri": target, **options}), method)


# What is asked, one list of calls each; the first answer is always the challenge.
DIALOGUES = {
    "right": [{}], "other-user": [{"user": "you"}], "wrong": [{"password": "x"}], "unknown": [{"user": "them"}], "post": [{"method": "POST"}], "wrong-method": [{"method": "GET", "response": md5("x")}],
    "counting": [{"count": 1}, {"count": 2}, {"count": 10}, {"count": 11}], "replay": [{"count": 1}, {"count": 1}], "backwards": [{"count": 5}, {"count": 3}], "big-count": [{"count": "ffffffffffffffff"}], "long-count": [{"count": "00000000000000000001"}],
    "too-long-count": [{"count": "1ffffffffffffffff"}], "bad-count": [{"count": "x"}], "empty-count": [{"count": ""}], "no-count": [{"nc": None}],
    "no-algorithm": [{"algorithm": None}], "other-algorithm": [{"algorithm": "SHA-256"}], "no-qop": [{"qop": None}], "other-qop": [{"qop": "auth-int"}], "other-opaque": [{"opaque": "x"}], "no-opaque": [{"opaque": None}],
    "other-nonce": [{"nonce": "AAAAAAAAAAAAAAAA"}], "no-cnonce": [{"cnonce": None}], "prefix-uri": [{"uri": "/"}], "other-uri": [{"uri": "/other"}], "longer-uri": [{"uri": "/x/y/z"}], "path-uri": [{"uri": "/x"}], "absolute-uri": [{"uri": "http://h/x"}],
    "other-query": [{"uri": "/x?z"}], "empty-uri": [{"uri": ""}], "encoded-uri": [{"uri": "/%78"}], "bad-uri": [{"uri": "/%zz"}], "realm-ignored": [{"realm": "nonsense"}], "escaped": [{"user": 'm\\e'}],
}


@pytest.mark.parametrize("dialogue", DIALOGUES)
@pytest.mark.parametrize("name", DIGEST)
def test_digest(pair, name, dialogue):
    answers = []
    for instance in (pair.traefik, pair.weir):
        pair.backends[0].begin(None)
        talk = Dialogue(instance, name)
        seen = [talk.ask()]
        seen += [talk.signed(**options) for options in DIALOGUES[dialogue]]
        seen += [[(n.lower(), v) for n, v in request.headers if n.lower() in ("x-user",)] + [any(n.lower() == "authorization" for n, _ in request.headers)] for request in pair.backends[0].finish()]
        answers.append(seen)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", ["digest-none", "digest-bad", "digest-file", "strip-then-digest"])
def test_digest_options(pair, name):
    answers = []
    for instance in (pair.traefik, pair.weir):
        talk = Dialogue(instance, name)
        seen = [talk.ask("/old/x")]
        if talk.challenge:
            seen += [talk.signed("/old/x"), talk.signed("/old/x", uri="/x", count=2)]
        answers.append(seen)
    assert answers[0] == answers[1]


def test_unknown_users_are_not_let_in_with_an_empty_hash(pair):
    """Whoever knows the challenge can compute the answer for a user without a hash."""
    talk = Dialogue(pair.weir, "digest-field")
    talk.ask()
    assert talk.signed(user="nobody", secret="")[0] == 401


def test_a_count_of_zero_cannot_be_repeated(pair):
    """The row digest-count of docs/compatibility.md."""
    for instance, status in ((pair.traefik, 200), (pair.weir, 401)):
        talk = Dialogue(instance, "digest")
        talk.ask()
        assert [talk.signed(count=0)[0], talk.signed(count=0)[0]] == [status, status]

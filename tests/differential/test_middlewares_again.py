"""Middlewares that judge responses: circuitBreaker, and those that have a request made again."""

import pytest

from harness.upstream import response_bytes
from rig.backend import reply, send
from rig.known import keys, statuses, with_differences
from rig.messages import get, post, service
from rig.observe import Case

CONDITIONS = [
    "NetworkErrorRatio() > 0.5", "NetworkErrorRatio() >= 0.0", "NetworkErrorRatio() == 1.0", "NetworkErrorRatio() != 0.0", "NetworkErrorRatio() < 0.1", "NetworkErrorRatio() <= .0",
    "ResponseCodeRatio(500, 600, 0, 600) > 0.25", "ResponseCodeRatio(500, 504, 0, 600) > 0.25", "ResponseCodeRatio(400, 500, 0, 600) == 1.0", "ResponseCodeRatio(200, 300, 200, 600) > 0.5", "ResponseCodeRatio(600, 500, 0, 600) == 0.0",
    "LatencyAtQuantileMS(50.0) >= 0", "LatencyAtQuantileMS(100.0) > 3600000", "NetworkErrorRatio() > 0.5 || ResponseCodeRatio(500, 600, 0, 600) > 0.5", "NetworkErrorRatio() > 0.5 && ResponseCodeRatio(500, 600, 0, 600) > 0.5",
    "(NetworkErrorRatio() > 0.5 || LatencyAtQuantileMS(50.0) >= 0) && ResponseCodeRatio(200, 201, 0, 0600) > 0x1p-1", "NetworkErrorRatio() > 1e-1 // ten per cent", "(NetworkErrorRatio()) > (0.5)",
]
NO_CONDITIONS = [
    "", " ", "NetworkErrorRatio() > 1", "NetworkErrorRatio()", "0.5", "0.5 < NetworkErrorRatio()", "NetworkErrorRatio() > NetworkErrorRatio()", "!(NetworkErrorRatio() > 0.5)", "NetworkErrorRatio(1) > 0.5", "networkErrorRatio() > 0.5",
    "NetworkErrorRatio > 0.5", "NetworkErrorRatio() > -0.5", "NetworkErrorRatio() > 0.5 && 1", "NetworkErrorRatio() = 0.5", "NetworkErrorRatio() > 0.5)", "RequestThreshold() > 5", "LatencyAtQuantileMS(50) > 100",
    "LatencyAtQuantileMS(50.0) > 100.0", "LatencyAtQuantileMS() > 1", "ResponseCodeRatio(500, 600, 0) > 0.5", "ResponseCodeRatio(500.0, 600, 0, 600) > 0.5", "(NetworkErrorRatio() > 0.5) == 1", "NetworkErrorRatio() > 1e400",
]
ANSWERS = {"200": reply(), "404": reply(404, reason="Not Found"), "500": reply(500, reason="Internal Server Error"), "502": reply(502, reason="Bad Gateway"), "503": reply(503, reason="Service Unavailable"),
           "504": reply(504, reason="Gateway Timeout"), "no server": None}
ALWAYS = "NetworkErrorRatio() >= 0.0"
BREAKERS = {f"code-{code}": {"expression": ALWAYS, "responseCode": code} for code in (200, 204, 304, 404, 418, 429, 451, 500, 0, 99, 150, 1000)}
BREAKERS |= {f"method-{method}": {"expression": ALWAYS} for method in ("get", "head", "post", "10")}
BREAKERS |= {"negative": {"expression": ALWAYS, "checkPeriod": "-1s", "fallbackDuration": "-1s", "recoveryDuration": "-1s"}, "slow": {"expression": ALWAYS, "checkPeriod": "1h"}}
BREAKERS |= {f"order-{i}": {"expression": ALWAYS} for i in range(4)}
BREAKERS |= {f"condition-{i}-{answer}".replace(" ", "-"): {"expression": condition, "fallbackDuration": "1h"} for i, condition in enumerate(CONDITIONS) for answer in ANSWERS}
BREAKERS |= {f"none-{i}": {"expression": condition} for i, condition in enumerate(NO_CONDITIONS)}
BUFFERS = {
    "small": {"maxRequestBodyBytes": 10, "maxResponseBodyBytes": 10}, "files": {"memRequestBodyBytes": 3, "memResponseBodyBytes": 3}, "no-memory": {"memRequestBodyBytes": 0, "memResponseBodyBytes": 0}, "plain": {"maxRequestBodyBytes": 0},
    "500": {"retryExpression": "ResponseCode() == 500"}, "3": {"retryExpression": "Attempts() < 3"}, "post": {"retryExpression": "RequestMethod() == `POST` && Attempts() <= 1"}, "network": {"retryExpression": "IsNetworkError() && Attempts() < 4"},
    "not-get": {"retryExpression": "RequestMethod() != \"GET\" && (ResponseCode() >= 500 || IsNetworkError()) && Attempts() < 2"}, "small-again": {"maxRequestBodyBytes": 3, "retryExpression": "Attempts() < 3"}, "files-again": {"memRequestBodyBytes": 0, "memResponseBodyBytes": 0, "retryExpression": "Attempts() < 3"},
}
NO_BUFFERS = [
    {"retryExpression": condition} for condition in ("Attempts()", "Attempts() < 2.0", "!IsNetworkError()", "IsNetworkError(1)", "IsNetworkError() == 1", "RequestMethod() < \"GET\"", "RequestMethod() == GET", "RequestMethod() == 1", "\"GET\" == RequestMethod()",
                                                     "2 > Attempts()", "NetworkErrorRatio() > 0.5", "Foo()", "Attempts() > -1", "IsNetworkError() &&", "ResponseCode() == \"500\"")
] + [{key: -1} for key in ("maxRequestBodyBytes", "memRequestBodyBytes", "maxResponseBodyBytes", "memResponseBodyBytes")]
RETRIES = {
    "one": {"attempts": 1, "status": ["500"]}, "plain": {"attempts": 3}, "paused": {"attempts": 3, "initialInterval": "1ms", "status": ["500-599"]}, "500": {"attempts": 3, "status": ["500"]}, "ranges": {"attempts": 2, "status": ["404", "502-503"]}, "post": {"attempts": 3, "status": ["500-599"], "retryNonIdempotentMethod": True},
    "status-only": {"attempts": 3, "status": ["502"], "disableRetryOnNetworkError": True}, "small": {"attempts": 3, "status": ["500"], "maxRequestBodyBytes": 3}, "no-body": {"attempts": 3, "status": ["500"], "maxRequestBodyBytes": 0}, "any-body": {"attempts": 3, "status": ["500"], "maxRequestBodyBytes": -1},
    "late": {"attempts": 5, "status": ["500"], "timeout": "1ns"}, "in-time": {"attempts": 3, "status": ["500"], "timeout": "1h"}, "backwards": {"attempts": 3, "status": ["599-500"]}, "negative": {"attempts": 2, "status": ["500"], "initialInterval": "-1s", "timeout": "-1s"},
}
NO_RETRIES = [{"attempts": 0, "status": ["500"]}, {"attempts": -1}, {"attempts": 2, "disableRetryOnNetworkError": True}, {"attempts": 1, "disableRetryOnNetworkError": True}] + [{"attempts": 2, "status": [text]} for text in ("x", "500-", "-500", "", "500,502", " 500", "5xx")]
PLUGIN = {"plugin": {"header": {"request": {"X-Guest": "1"}, "response": {"X-Answer": "2"}}}}
ORDERS = {"plugin-retry": ["plugin", "retry-500"], "retry-plugin": ["retry-500", "plugin"], "retry-buffer": ["retry-500", "buffer-plain"], "buffer-retry": ["buffer-plain", "retry-500"], "retry-retry": ["retry-500", "retry-ranges"], "retry-breaker": ["retry-500", "retry-fuse"],
          "plugin-buffer": ["plugin", "buffer-3"], "buffer-plugin": ["buffer-3", "plugin"], "buffer-buffer": ["buffer-plain", "buffer-3"], "buffer-breaker": ["buffer-500", "buffer-fuse"],
          "plugin-breaker": ["plugin", "order-0"], "breaker-plugin": ["order-1", "plugin"], "breaker-breaker": ["order-2", "order-3"]}


def on(name, *requests, suffix="", **options):
    return Case(f"{name}{suffix}", [request.replace(b"site.example", f"{name}.example".encode()) for request in requests], **options)


def breaker_cases():
    """Each once: the breaker is that of the case before. Conditions are such that more of the same changes nothing, so that it does not matter when they
    are looked at."""
    for i in range(len(CONDITIONS)):
        for answer, script in ANSWERS.items():
            yield on(f"condition-{i}-{answer}".replace(" ", "-"), get(), get(), get(), script=script)
    for i in range(len(NO_CONDITIONS)):
        yield on(f"none-{i}", get())
    for name in BREAKERS:
        if name.startswith("code-"):
            yield on(name, get(), get())
    yield on("method-head", get(method="HEAD"), get(method="HEAD"), get())
    yield on("method-post", post(), post())
    yield on("method-10", get(version="1.0"), ending="read")
    yield on("method-10", get(version="1.0"), ending="read", suffix=" again")
    yield on("method-get", get(), get(method="OPTIONS"), get())
    yield on("negative", get(), get())
    yield on("slow", get(), get())
    for name in ("plugin-breaker", "breaker-plugin", "breaker-breaker"):
        yield on(name, get(), get(), get())


def big(n):
    return bytes(i * 7 % 251 for i in range(n))


def buffer_cases():
    for name in ("small", "files", "no-memory", "plain"):
        for n in (0, 1, 3, 4, 9, 10, 11, 100, 70000):
            yield on(f"buffer-{name}", post("/", big(n)), suffix=f" request {n}")
            if n < 2048:
                yield on(f"buffer-{name}", post("/", chunks=[big(n)] if n else []), suffix=f" request in chunks {n}")
                yield on(f"buffer-{name}", get(), script=reply(chunks=[big(n)] if n else []), suffix=f" response in chunks {n}")
            yield on(f"buffer-{name}", get(), script=reply(body=big(n)), suffix=f" response {n}")
        yield on(f"buffer-{name}", get(method="HEAD"), script=reply(headers=[("Content-Length", "5000")], body=b""), suffix=" head")
        yield on(f"buffer-{name}", get(), script=reply(204, reason="No Content", body=b""), suffix=" 204")
        yield on(f"buffer-{name}", get(), script=reply(304, reason="Not Modified", body=b""), suffix=" 304")
        yield on(f"buffer-{name}", get(), script=send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response_bytes(body=b"ok")), suffix=" 103")
        yield on(f"buffer-{name}", get(), script=send(b"HTTP/1.1 200 OK\r\n\r\nabc", close=True), suffix=" until close")
        yield on(f"buffer-{name}", get(), script=send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", close=True), suffix=" truncated")
        yield on(f"buffer-{name}", post("/", b"abc", ("Expect", "100-continue")), suffix=" expect")
        yield on(f"buffer-{name}", post("/", chunks=[b"ab", b"c"]), suffix=" many chunks")
        yield on(f"buffer-{name}", get("/", version="1.0"), ending="read", suffix=" 1.0")
        yield on(f"buffer-{name}", post("/a?b=c", b"abc"), get("/d"), post("/e", b"abcd"), suffix=" kept alive")
        yield on(f"buffer-{name}", get(method="PUT"), suffix=" put without a body")
        yield on(f"buffer-{name}", get(), script=reply(headers=[("Content-Type", "text/html"), ("X-A", "1"), ("X-A", "2")]), suffix=" fields")
    for name in ("500", "3", "post", "network", "not-get", "small-again", "files-again"):
        for method in ("POST", "PUT", "GET", "X"):
            for answer, script in ANSWERS.items():
                if script is not None:
                    yield on(f"buffer-{name}", post("/", b"abc", method=method), script=script, suffix=f" {method} {answer}")
        yield on(f"buffer-{name}", post("/", big(70000)), script=ANSWERS["500"], suffix=" large")
        yield on(f"buffer-{name}", post("/", chunks=[b"ab", b"c"]), script=ANSWERS["502"], suffix=" chunks")
        yield on(f"buffer-{name}", post("/", b"abc"), get(), script=reply(), suffix=" kept alive")
        yield on(f"buffer-{name}-no-server", post("/", b"abc"), suffix=" no server")
    yield on("buffer-plain", get(), script=reply(chunks=[big(70000)]), suffix=" large response in chunks")
    yield on("buffer-3", get(), suffix=" without a body")
    for i in range(len(NO_BUFFERS)):
        yield on(f"no-buffer-{i}", get())
    for name in ("plugin-buffer", "buffer-plugin", "buffer-buffer", "buffer-breaker"):
        yield on(name, post("/", b"abc"), script=ANSWERS["500"])


def retry_cases():
    for name in RETRIES:
        for method in ("GET", "POST", "PUT", "PATCH", "LOCK", "OPTIONS"):
            for answer in ("200", "404", "500", "502", "503"):
                yield on(f"retry-{name}", post("/", b"abc", method=method) if method in ("POST", "PUT") else get(method=method), script=ANSWERS[answer], suffix=f" {method} {answer}")
        yield on(f"retry-{name}", get(method="HEAD"), script=reply(500, headers=[("Content-Length", "9")], reason="Internal Server Error", body=b""), suffix=" head")
        for n in (3, 4, 70000):
            yield on(f"retry-{name}", post("/", big(n), method="PUT"), script=ANSWERS["500"], suffix=f" body {n}")
            yield on(f"retry-{name}", post("/", chunks=[big(n)], method="PUT"), script=ANSWERS["500"], suffix=f" chunks {n}")
        if name != "one":
            yield on(f"retry-{name}", get(), script=send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response_bytes(body=b"ok")), suffix=" 103")
        if name in ("plain", "500"):
            yield on(f"retry-{name}", post("/", b"abc", ("Expect", "100-continue"), method="PUT"), script=ANSWERS["500"], suffix=" expect")
        yield on(f"retry-{name}", get(), post("/", b"a", method="PUT"), get(), script=ANSWERS["500"], suffix=" kept alive")
        yield on(f"retry-{name}", get(version="1.0"), script=ANSWERS["500"], ending="read", suffix=" 1.0")
        yield on(f"retry-{name}", get(), script=reply(chunks=[big(5000), big(3)]), suffix=" streams")
        yield on(f"retry-{name}-no-server", post("/", b"abc"), get(), post("/", chunks=[b"a"]), suffix=" no server")
        if name not in ("one", "status-only", "late"):
            # One of the two servers is there.
            for request, what in ((get(), "get"), (post("/", b"abc"), "post"), (post("/", chunks=[b"ab", b"c"]), "chunks"), (post("/", big(70000), method="PUT"), "put")):
                yield on(f"retry-{name}-half", request, suffix=f" half {what}", ignore=("upstream0.header.x-forwarded-port",))
    for i in range(len(NO_RETRIES)):
        yield on(f"no-retry-{i}", get())
    for name in ORDERS:
        if "retry" in name:
            yield on(name, post("/", b"abc", method="PUT"), script=ANSWERS["500"])
            yield on(name, get(), script=ANSWERS["200"], suffix=" 200")


@pytest.fixture(scope="module")
def pair(pairs):
    middlewares = {**{name: {"circuitBreaker": options} for name, options in BREAKERS.items()}, **{f"buffer-{name}": {"buffering": options} for name, options in BUFFERS.items()},
                   **{f"buffer-{name}-no-server": {"buffering": options} for name, options in BUFFERS.items()}, **{f"no-buffer-{i}": {"buffering": options} for i, options in enumerate(NO_BUFFERS)}, **{f"retry-{name}{where}": {"retry": options} for name, options in RETRIES.items() for where in ("", "-no-server", "-half")}, **{f"no-retry-{i}": {"retry": options} for i, options in enumerate(NO_RETRIES)},
                   "retry-fuse": {"circuitBreaker": {"expression": "NetworkErrorRatio() > 0.5"}}, "buffer-fuse": {"circuitBreaker": {"expression": ALWAYS}}, "plugin": PLUGIN}
    routers = {name: {"rule": f"Host(`{name}.example`)", "service": "s", "middlewares": names, **({"service": "dead"} if name.endswith("no-server") else {"service": "half"} if name.endswith("-half") else {})} for name, names in ({name: [name] for name in middlewares} | ORDERS).items()}
    return pairs(dynamic={"http": {"routers": routers, "middlewares": middlewares, "services": {"s": service("a"), "half": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}, *service("a")["loadBalancer"]["servers"]]}}, "dead": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}}}}, plugins={"header": "header"})


DIFFERS = {
    **statuses("500 Internal Server Error", "502 Bad Gateway", "buffering-truncated", *(f"buffer-{name} truncated" for name in ("small", "files", "no-memory", "plain"))),
    **keys("buffering-bodiless", *(f"buffer-{name} kept alive" for name in ("3", "small-again", "files-again")), loosely=True, upstream__count=(4, 6)),
    **keys("buffering-length", "buffer-plain large response in chunks", answer0__header__content_length=(None, ["70000"]), answer0__header__transfer_encoding=(["chunked"], None)),
    **keys("buffering-bodiless", "buffer-3 without a body", loosely=True, upstream__count=(1, 3)),
    **statuses("200 OK", "404 Not Found", "breaker-status", "code-0", "code-99", "code-150", "code-1000"),
}


@pytest.mark.parametrize("case", [with_differences(case, DIFFERS) for case in (*breaker_cases(), *buffer_cases(), *retry_cases())], ids=str)
def test_again(pair, case):
    pair.check(case)

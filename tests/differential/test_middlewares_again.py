"""Middlewares that judge responses: circuitBreaker, and those that have a request made again."""

import pytest

from rig.backend import reply
from rig.known import statuses, with_differences
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
PLUGIN = {"plugin": {"header": {"request": {"X-Guest": "1"}, "response": {"X-Answer": "2"}}}}
ORDERS = {"plugin-breaker": ["plugin", "order-0"], "breaker-plugin": ["order-1", "plugin"], "breaker-breaker": ["order-2", "order-3"]}


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
    for name in ORDERS:
        yield on(name, get(), get(), get())


@pytest.fixture(scope="module")
def pair(pairs):
    middlewares = {**{name: {"circuitBreaker": options} for name, options in BREAKERS.items()}, "plugin": PLUGIN}
    routers = {name: {"rule": f"Host(`{name}.example`)", "service": "s", "middlewares": names, **({"service": "dead"} if name.endswith("no-server") else {})} for name, names in ({name: [name] for name in middlewares} | ORDERS).items()}
    return pairs(dynamic={"http": {"routers": routers, "middlewares": middlewares, "services": {"s": service("a"), "dead": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}}}}, plugins={"header": "header"})


DIFFERS = {
    **statuses("200 OK", "404 Not Found", "breaker-status", "code-0", "code-99", "code-150", "code-1000"),
}


@pytest.mark.parametrize("case", [with_differences(case, DIFFERS) for case in breaker_cases()], ids=str)
def test_again(pair, case):
    pair.check(case)

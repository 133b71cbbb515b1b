"""What is below /debug: who has the memory, and what takes the time. Compared with the metrics and with the kernel."""

import hashlib
import json
import threading

import pytest

from harness.client import Client, fetch, request_bytes
from harness.guests import BURNING, CALLER, burner, guest
from harness.load import Innocents
from harness.pprof import Profile, go_pprof
from harness.process import pss_bytes
from harness.proxy import Plugin, memory_tells, merge, one_router
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("profiles of Go are of no use here")

DEBUG = {"api": {"insecure": True, "dashboard": False, "debug": True}, "weir": {"workers": 2}}


def with_debug(proxy, dynamic, static=None, **options):
    return proxy(dynamic, static=merge(DEBUG, static or {}), metrics=True, **options)


def get(p, target, **options):
    return fetch(p.ports["traefik"], target=target, **options)


def memory(p):
    response = get(p, "/debug/memory")
    assert response.status == 200, response.body
    assert response.get("Content-Type") == "application/json"
    return json.loads(response.body)


def test_nothing_is_there_unless_asked_for(upstream, proxy):
    dynamic = one_router(upstream().url, rule="PathPrefix(`/user`)")
    for api in ({"insecure": True, "dashboard": False}, {"dashboard": False, "debug": True}):
        p = proxy(dynamic, static={"api": api}, metrics=True)
        for target in ("/debug/memory", "/debug/vars", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1"):
            assert get(p, target).status == 404, (api, target)


def test_a_router_of_ones_own_leads_there(upstream, proxy):
    dynamic = merge(one_router(upstream().url, rule="Host(`x.test`)"),
                    {"http": {"routers": {"d": {"rule": "PathPrefix(`/debug`)", "service": "api@internal"}}}})
    p = proxy(dynamic, static={"api": {"dashboard": False, "debug": True}}, metrics=True)
    assert fetch(p.port, target="/debug/memory").status == 200
    assert get(p, "/debug/memory").status == 404


def test_memory_says_what_metrics_and_kernel_say(upstream, proxy):
    p = with_debug(proxy, one_router(upstream().url, plugin={"guest": {}}), plugins={"guest": Plugin("header")})
    for _ in range(20):
        assert p.fetch().status == 200
    seen = metrics = None

    def same():
        """Nothing is under way, so both looks show the same."""
        nonlocal seen, metrics
        seen, metrics = memory(p), p.scrape()
        [use] = seen["plugins"]
        value = lambda name: metrics.value(f"weir_plugin_{name}", plugin="guest")
        return (use["instances"], use["idle"], use["busy"], use["privateBytes"], use["linearBytes"], use["reservedBytes"]) == tuple(
            value(name) for name in ("live", "idle", "in_use", "private_bytes", "linear_bytes", "reserved_bytes"))

    wait_until(same, lambda: f"{seen['plugins']} is what the metrics say")
    [use] = seen["plugins"]
    assert use["plugin"] == "guest" and use["state"] == "in use" and use["middlewares"] == 1
    assert use["content"] == hashlib.sha256(guest("header")).hexdigest()
    assert use["imageBytes"] == metrics.value("weir_plugin_image_bytes", plugin="guest") > 0
    assert use["instances"] >= 1 and 0 < use["ageSeconds"] < seen["uptimeSeconds"] + 1
    [module] = seen["pluginModules"]
    assert module["content"] == use["content"] and module["codeBytes"] > 10000
    assert seen["pluginBudget"]["limitBytes"] == metrics.value("weir_plugins_memory_bytes")
    [generation] = seen["generations"]
    assert generation["state"] == "current" and generation["heldByWorkers"] == 2 and generation["arenaBytes"] > 0
    assert sum(generation["requestsByWorker"]) == generation["requests"] >= 1  # this request itself
    assert generation["oldestRequest"]["router"] == "debug@internal"
    assert [worker["worker"] for worker in seen["workers"]] == [0, 1]
    assert sum(worker["requests"] for worker in seen["workers"]) >= 1
    [server] = [each for each in seen["upstreams"] if each["port"] == p_port(p)]
    assert server["host"] == "127.0.0.1" and 1 <= server["idle"] <= server["open"] and not server["tls"]
    if memory_tells():
        assert abs(seen["process"]["pssBytes"] - pss_bytes(p.pid)) < 16 << 20
        assert seen["allocator"]["name"] == "jemalloc"
    assert 0 < seen["allocator"]["allocatedBytes"] <= seen["allocator"]["residentBytes"] or not memory_tells()
    assert metrics.value("weir_memory_allocated_bytes") > 0 or not memory_tells()
    assert seen["buffers"]["liveBytes"] >= 0 and "bytes" in str(seen["keptBodies"])


def p_port(p):
    """Of the one server in the configuration."""
    return int(p.dynamic["http"]["services"]["s"]["loadBalancer"]["servers"][0]["url"].rsplit(":", 1)[1])


def test_what_pins_an_old_generation(upstream, proxy):
    released = threading.Event()

    def answer(connection, request):
        assert request.target != "/slow" or released.wait(60)
        connection.send(response_bytes(body=b"ok"))

    server = upstream(answer)
    p = with_debug(proxy, one_router(server.url, plugin={"guest": {"a": 1}}), plugins={"guest": Plugin("header")})
    try:
        with Client(p.port, timeout_s=60) as client:
            client.send(request_bytes(target="/slow"))
            wait_until(lambda: any(each["phase"] == "SERVICE" and each["router"] == "r@file" for generation in memory(p)["generations"]
                                   for each in [generation.get("oldestRequest", {"phase": "", "router": ""})]), "the request is under way")
            p.apply(one_router(server.url, plugin={"guest": {"a": 2}}))
            seen = memory(p)
            old, new = seen["generations"]
            assert seen["liveGenerations"] == 2 == p.scrape().value("weir_config_generations_live")
            assert (old["state"], new["state"]) == ("draining", "current") and old["number"] < new["number"]
            assert old["requests"] == 1 and old["heldByWorkers"] == 1
            assert old["oldestRequest"]["router"] == "r@file" and old["oldestRequest"]["client"].startswith("127.0.0.1:")
            assert len([use for use in seen["plugins"] if use["state"] == "in use"]) == 2
            released.set()
            assert client.response().status == 200
    finally:
        released.set()
    wait_until(lambda: len(memory(p)["generations"]) == 1 and len(memory(p)["plugins"]) == 1, "the old one has gone")


def test_memory_under_load_and_reloads(upstream, proxy):
    """Every answer is whole and makes sense, whatever goes on meanwhile, and no request fails for it."""
    server = upstream()
    p = with_debug(proxy, one_router(server.url, plugin={"guest": {"a": 0}}), plugins={"guest": Plugin("header")})

    def check(response):
        assert response.status == 200

    with Innocents(p.port, check, count=8, target="/"):
        for turn in range(12):
            p.write_dynamic(one_router(server.url, plugin={"guest": {"a": turn % 3}}))
            for _ in range(5):
                seen = memory(p)
                assert 1 <= seen["liveGenerations"] <= 6
                assert [each["state"] for each in seen["generations"]][-1] == "current"
                for use in seen["plugins"]:
                    assert use["idle"] + use["busy"] <= use["instances"] + 64 and use["reservedBytes"] >= 0
        p.wait_version()
    wait_until(lambda: memory(p)["liveGenerations"] == 1, "old generations have gone")


def test_browsers_get_a_page(upstream, proxy):
    p = with_debug(proxy, one_router(upstream().url, rule="Host(`</script>.test`) || PathPrefix(`/`)"))
    response = get(p, "/debug/memory", headers=[("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")])
    assert response.status == 200 and response.get("Content-Type") == "text/html; charset=utf-8"
    page = response.body.decode()
    assert page.count("</script>") == 1
    data = json.loads(page.split("const data = ", 1)[1].split(";\n", 1)[0])
    assert data["liveGenerations"] == 1
    assert get(p, "/debug/memory", headers=[("Accept", "*/*")]).get("Content-Type") == "application/json"


def test_heap_profile(upstream, proxy, tmp_path):
    p = with_debug(proxy, one_router(upstream().url, plugin={"guest": {}}), plugins={"guest": Plugin("header")})
    for _ in range(5):
        assert p.fetch().status == 200
    response = get(p, "/debug/pprof/heap")
    assert response.status == 200 and response.get("Content-Type") == "application/octet-stream"
    profile, seen = Profile(response.body), memory(p)
    assert profile.types == [("inuse_objects", "count"), ("inuse_space", "bytes")]
    [use], [module], [generation] = seen["plugins"], seen["pluginModules"], seen["generations"]
    own = {sample.stack[0]: sample.values for sample in profile.samples if sample.labels.get("plugin") == "guest"}
    assert own["image of the memory as initialised"] == [1, use["imageBytes"]]
    assert own["compiled code"] == [1, module["codeBytes"]]
    assert {sample.labels["content"] for sample in profile.samples if "plugin" in sample.labels} == {use["content"]}
    assert profile.total(1, lambda sample: sample.stack[-1] == "configurations") == generation["arenaBytes"] + generation["configurationBytes"]
    assert all(len(sample.stack) == 2 for sample in profile.samples)
    top = go_pprof(tmp_path, response.body, "-top", "-cum", "-nodefraction=0", "-sample_index=inuse_space")
    if top is not None:
        assert "plugin guest" in top and "Type: inuse_space" in top
        raw = go_pprof(tmp_path, response.body, "-raw")
        assert "inuse_objects/count inuse_space/bytes" in raw


def burning(proxy, upstream, **options):
    return with_debug(proxy, one_router(upstream().url, plugin={"hot": {}}), plugins={"hot": Plugin(burner())}, **options)


def test_cpu_profile_names_functions_of_plugins(upstream, proxy, tmp_path):
    p = burning(proxy, upstream)
    body = profile = None

    def seen():
        nonlocal body, profile
        response = get(p, "/debug/pprof/profile?seconds=1", timeout_s=60)
        assert response.status == 200, response.body
        body, profile = response.body, Profile(response.body)
        return any(sample.labels.get("plugin") == "hot" and sample.stack[0] == BURNING for sample in profile.samples)

    with Innocents(p.port, lambda response: None, count=2, target="/"):
        wait_until(seen, lambda: f"samples in the plugin: {[(sample.stack, sample.labels) for sample in profile.samples]}", 120)
    assert profile.types == [("samples", "count"), ("cpu", "nanoseconds")] and profile.period == 10_000_000
    assert profile.duration_ns >= 1_000_000_000
    inside = [sample for sample in profile.samples if sample.labels.get("plugin") == "hot"]
    assert all(sample.stack[-1] == "plugin hot" for sample in inside)
    assert all(sample.values[1] == sample.values[0] * profile.period for sample in profile.samples)
    assert [BURNING, CALLER] in [sample.stack[:2] for sample in inside]
    assert {sample.labels["thread"] for sample in inside} == {"weir-worker"}
    top = go_pprof(tmp_path, body, "-top", "-nodefraction=0")
    if top is not None:
        assert BURNING in top and "Type: cpu" in top
        assert BURNING in go_pprof(tmp_path, body, "-raw")
    metrics = p.scrape()
    assert metrics.value("weir_api_profiles_total") >= 1
    assert metrics.value("weir_api_profile_samples_total") >= len(profile.samples)
    assert metrics.value("weir_api_profile_samples_dropped_total") == 0


def wait_profiling(p):
    wait_until(lambda: p.scrape().value("weir_api_profiling") == 1, "a profile is being taken", 60)


def test_one_profile_at_a_time(upstream, proxy):
    """A second one is refused; one whose client goes away ends at once."""
    p = burning(proxy, upstream, static={"weir": {"limits": {"profileDuration": "40s"}}})
    with Client(p.ports["traefik"]) as client:
        client.send(request_bytes(target="/debug/pprof/profile?seconds=40"))
        wait_profiling(p)
        response = get(p, "/debug/pprof/profile?seconds=1")
        assert response.status == 409 and b"already in use" in response.body
        assert memory(p)["liveGenerations"] == 1 and p.fetch().status == 200
    wait_until(lambda: get(p, "/debug/pprof/profile?seconds=1", timeout_s=60).status == 200, "the first one is over", 60)
    assert p.scrape().value("weir_api_profiles_refused_total") >= 1
    assert get(p, "/debug/pprof/profile?seconds=41").status == 400
    assert get(p, "/debug/pprof/profile?seconds=99999999999999999999").status == 400


def test_clients_that_leave_end_their_profile(upstream, proxy):
    """Before it has begun, too, and while another one's is being taken."""
    p = burning(proxy, upstream)
    for _ in range(40):
        with Client(p.ports["traefik"]) as client:
            client.send(request_bytes(target="/debug/pprof/profile?seconds=30"))
    wait_until(lambda: p.scrape().value("weir_api_profiling") == 0 and get(p, "/debug/pprof/profile?seconds=1", timeout_s=60).status == 200,
               "nobody's is being taken", 60)


def test_the_server_ends_while_a_profile_is_taken(upstream, proxy):
    p = burning(proxy, upstream, static={"entryPoints": {"traefik": {"transport": {"lifeCycle": {"graceTimeOut": "1s"}}}}})
    with Client(p.ports["traefik"]) as client:
        client.send(request_bytes(target="/debug/pprof/profile?seconds=50"))
        wait_profiling(p)
        p.stop()


def test_samples_beyond_the_limit_are_counted(upstream, proxy):
    p = burning(proxy, upstream, static={"weir": {"limits": {"profileSamples": 2}}})

    def dropped():
        response = get(p, "/debug/pprof/profile?seconds=1", timeout_s=60)
        assert response.status == 200 and len(Profile(response.body).samples) <= 2
        return p.scrape().value("weir_api_profile_samples_dropped_total") > 0

    with Innocents(p.port, lambda response: None, count=2, target="/"):
        wait_until(dropped, "samples were dropped", 120)


def test_the_command_line_tells_no_secrets(upstream, proxy):
    p = with_debug(proxy, one_router(upstream().url))
    p.terminate()
    assert p.wait_exit() == 0
    p.spawn(("--configFile=static.yml", "--providers.http.endpoint=http://me:open&sesame@127.0.0.1:1/", "--providers.http.headers.authorization=sesame",
             "--providers.http.tls.key", "sesame"))
    p.wait_listening()
    expected = ["--configFile=static.yml", "--providers.http.endpoint=http://xxxx@127.0.0.1:1/", "--providers.http.headers.authorization=xxxx",
                "--providers.http.tls.key", "xxxx"]
    assert get(p, "/debug/pprof/cmdline").body.decode().split("\0")[1:] == expected
    assert json.loads(get(p, "/debug/vars").body)["cmdline"][1:] == expected


def test_what_go_programs_have(upstream, proxy):
    p = with_debug(proxy, one_router(upstream().url))
    index = get(p, "/debug/pprof/")
    assert index.status == 200 and index.get("Content-Type").startswith("text/html") and b'href="heap"' in index.body
    assert b"--configFile=static.yml" in get(p, "/debug/pprof/cmdline").body.split(b"\0")
    known = json.loads(get(p, "/debug/vars").body)
    assert "--configFile=static.yml" in known["cmdline"] and "Alloc" in known["memstats"]
    for name in ("goroutine", "block", "mutex", "trace", "symbol"):
        response = get(p, f"/debug/pprof/{name}")
        assert response.status == 501 and name.encode() in response.body
    assert get(p, "/debug/pprof").status == 404

"""The access log: who gets lines, and that nobody waits for a disk or for a reader."""

import json
import os
import signal
import threading

import pytest

from harness.client import Client, request_bytes
from harness.message import Closed
from harness.proxy import merge, one_router, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("weir's own way of writing")


def logged(proxy, upstream, log, **options):
    return proxy(one_router(upstream().url), static={"accessLog": log, **options}, metrics=True)


def lines(p, name="access.log"):
    path = p.directory / name
    return path.read_text().splitlines() if path.exists() else []


def lost(p, why):
    return p.scrape().value(f"weir_access_log_{why}_total")


def test_metrics_are_documented(upstream, proxy):
    p = logged(proxy, upstream, {"filePath": "access.log"})
    assert p.fetch().status == 200
    wait_until(lambda: lines(p), "the line is written")
    m = p.scrape()
    assert m.value("weir_access_log_lines_total") >= 1
    assert m.value("weir_access_log_bytes_total") >= len("\n".join(lines(p)[:1]))


def test_standard_output(upstream, proxy):
    p = logged(proxy, upstream, {"format": "json"})
    assert p.fetch(target="/found-in-output").status == 200
    p.wait_log('"RequestPath":"/found-in-output"')


def test_users_of_server_urls_are_not_logged(upstream, proxy):
    server = upstream()
    p = proxy(one_router(server.url.replace("://", "://me:open-sesame@")), static={"accessLog": {"format": "json"}})
    assert p.fetch(target="/logged").status == 200
    p.wait_log('"RequestPath":"/logged"')
    assert f'"ServiceURL":"{server.url.replace("://", "://xxxx@")}"' in p.log() and "open-sesame" not in p.log()


def test_file_is_opened_again(upstream, proxy):
    p = logged(proxy, upstream, {"filePath": "access.log"})
    p.fetch(target="/first")
    wait_until(lambda: any("/first" in line for line in lines(p)), "the first line is written")
    os.rename(p.directory / "access.log", p.directory / "moved.log")
    os.kill(p.process.pid, signal.SIGUSR1)
    wait_until(lambda: (p.directory / "access.log").exists(), "there is a new file")
    p.fetch(target="/second")
    wait_until(lambda: any("/second" in line for line in lines(p)), "the second line is in the new file")
    assert not any("/second" in line for line in lines(p, "moved.log"))


def test_file_that_cannot_be_opened(upstream, proxy):
    p = logged(proxy, upstream, {"filePath": "/proc/no/access.log"})
    assert p.fetch().status == 200
    p.wait_log("Unable to create access logger", "/proc/no/access.log")


def test_full_disk(upstream, proxy):
    p = logged(proxy, upstream, {"filePath": "/dev/full"})
    for _ in range(5):
        assert p.fetch().status == 200
    wait_until(lambda: lost(p, "write_failures") >= 5, "lines are counted as lost")
    assert lost(p, "queue_full") == 0


def test_reader_that_sleeps(upstream, proxy, tmp_path):
    """Lines of 16 KiB into a pipe that nobody reads: the queue fills, requests do not notice, the end comes in time."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    log = {"filePath": str(pipe), "format": "json", "fields": {"headers": {"defaultMode": "keep"}}}
    p = logged(proxy, upstream, log, weir={"workers": 1, "limits": {"accessLogQueue": "64KiB"}})
    with p.connect() as client:
        for _ in range(40):
            client.send(request_bytes(headers=[("X-Long", "x" * 16000)]))
            assert client.response().status == 200
    wait_until(lambda: lost(p, "queue_full") > 0, "lines are counted as lost")


def test_line_that_is_too_long(upstream, proxy):
    log = {"filePath": "access.log", "format": "json", "fields": {"headers": {"defaultMode": "keep"}}}
    p = logged(proxy, upstream, log, weir={"workers": 1, "limits": {"accessLogQueue": "64KiB"}})
    assert p.fetch(headers=[("X-Long", "x" * 70000)]).status == 200
    wait_until(lambda: lost(p, "queue_full") == 1, "it is counted as lost")
    assert p.fetch(target="/short").status == 200
    wait_until(lambda: any("/short" in line for line in lines(p)), "the next one is written")


def test_every_line_is_whole(upstream, proxy):
    """Many connections on several workers: each request has one line, each number comes once."""
    log = {"filePath": "access.log", "format": "json"}
    p = logged(proxy, upstream, log, weir={"workers": 2})
    before = len(lines(p))
    for _ in range(10):
        with p.connect() as first, p.connect() as second:
            for client in (first, second):
                client.send(request_bytes() * 10)
            for client in (first, second):
                for _ in range(10):
                    assert client.response().status == 200
    wait_until(lambda: len(lines(p)) >= before + 200, "all lines are there")
    numbers = [json.loads(line)["RequestCount"] for line in lines(p)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_reload_changes_who_is_logged(upstream, proxy):
    url = upstream().url
    p = proxy(one_router(url), static={"accessLog": {"filePath": "access.log"}})
    p.fetch(target="/before")
    p.apply(merge(one_router(url), {"http": {"routers": {"r": {"observability": {"accessLogs": False}}}}}))
    p.fetch(target="/quiet")
    p.apply(one_router(url))
    p.fetch(target="/after")
    wait_until(lambda: any("/after" in line for line in lines(p)), "the last line is written")
    assert any("/before" in line for line in lines(p))
    assert not any("/quiet" in line for line in lines(p))


def test_names_outlive_their_configuration(upstream, proxy):
    """A request that goes on after its router has gone is logged with its names."""
    go_on = threading.Event()

    def slow(connection, request):
        connection.send(response_bytes(body=b"x" * 10)[:-5])
        assert go_on.wait(60)
        connection.send(b"x" * 5)

    url, other = upstream(slow).url, upstream().url
    p = proxy(one_router(url), static={"accessLog": {"filePath": "access.log", "format": "json"}}, metrics=True)
    with p.connect() as client:
        client.send(request_bytes(target="/slow"))
        client.reader.head()
        for i in range(3):
            p.apply({"http": {"routers": {f"new{i}": {"rule": "PathPrefix(`/`)", "service": "new"}},
                              "services": {"new": servers(other)}}})
        wait_until(lambda: p.scrape().value("weir_config_generations_live") == 1, "the old configurations have gone")
        go_on.set()
        assert client.reader.exactly(10) == b"x" * 10
    wait_until(lambda: any("/slow" in line for line in lines(p)), "the line is written")
    line = next(json.loads(line) for line in lines(p) if "/slow" in line)
    assert (line["RouterName"], line["ServiceName"], line["ServiceURL"]) == ("r@file", "s@file", url)


def test_lines_of_the_end(upstream, proxy):
    """What was served before the end is written before the end."""
    p = logged(proxy, upstream, {"filePath": "access.log"})
    for i in range(20):
        p.fetch(target=f"/last-{i}")
    p.stop()
    text = "\n".join(lines(p))
    assert all(f"/last-{i} " in text for i in range(20))


def test_response_that_breaks_off(upstream, proxy):
    def break_off(connection, request):
        connection.send(response_bytes(body=b"x" * 100)[:-50])
        connection.reset()

    server = upstream(break_off)
    p = proxy(one_router(server.url), static={"accessLog": {"filePath": "access.log", "format": "json"}})
    with Client(p.port) as client:
        client.send(request_bytes(target="/broken"))
        with pytest.raises(Closed):
            client.response()
    wait_until(lambda: any("/broken" in line for line in lines(p)), "the line is written")
    line = next(json.loads(line) for line in lines(p) if "/broken" in line)
    assert (line["DownstreamStatus"], line["OriginStatus"], line["OriginContentSize"]) == (200, 0, 0)

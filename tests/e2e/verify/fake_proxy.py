"""A proxy for `weir verify` to find out: answers by itself what the configuration's hosts should get, and does what
FAKE_PROXY says, of which some can be joined by "+":
good        keeps the last good configuration beside a broken one, and says what is wrong with that
leak        keeps 2 MiB for each configuration
hoard       keeps 1 MiB for each request
opens       keeps ten files open for each configuration
rebuild     says that all plugins were initialised again at each configuration
wrong       gives another body with each tenth answer
mute        does not start
dies        ends at the second configuration
stale       keeps the first configuration
slow        stands still for 400 ms at each configuration
cuts        ends event streams at each configuration
counts      has weir's metrics: one more instance and one more configuration, which stay, at each configuration
adopts      takes a broken file for an empty configuration
silent      says nothing of a broken file
vague       says of a broken file only that it is one
supervised  has a parent that keeps the socket and starts it again when it dies
refuses     the same, but the parent keeps no socket
forgets     the same as supervised, but what was started again answers 404 for a while
widow       has a parent that does not start it again"""

import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODES = set(os.environ["FAKE_PROXY"].split("+"))
SUPERVISED = {"supervised", "refuses", "forgets", "widow"}
kept, hosts, text, answers, configurations = [], set(), "", 0, 0
lock = threading.Lock()
empty_until = 0
seen = None


def broken_line(new):
    """Where `weir verify` has broken a file, or 0."""
    if new.endswith("verify: {"):
        return new.count("\n") + 1
    found = re.search(r"rule: \[Host|purpose:|perhaps", new)
    return new.count("\n", 0, found.start()) + 1 if found else 0


def complain(line):
    if "silent" not in MODES:
        print("ERR dynamic.yml: it is wrong" if "vague" in MODES else f"ERR dynamic.yml:{line}:1: found something, expected something else",
              flush=True)


def new_configuration(new):
    global hosts, text, configurations
    first, text = not text, new
    line = broken_line(new)
    if line:
        complain(line)
        if "adopts" in MODES:
            hosts = set()
        return
    configurations += 1
    if "dies" in MODES and not first:
        os._exit(3)
    if "slow" in MODES and not first:
        time.sleep(0.4)
    if "leak" in MODES:
        kept.append(bytearray(os.urandom(2 << 20)))
    if "opens" in MODES:
        kept.extend(open("traefik.yml") for _ in range(10))
    for _ in range(51 if first or "rebuild" in MODES else 0):
        print("INF the guest initialised", flush=True)
    hosts = set(re.findall(r"Host\(`([^`]+)`\)", new))


def read_configuration():
    global seen
    with lock:
        state = os.stat("dynamic.yml")
        if seen == (state.st_ino, state.st_mtime_ns):
            return
        seen, new = (state.st_ino, state.st_mtime_ns), Path("dynamic.yml").read_text()
        if new != text and not ("stale" in MODES and text):
            new_configuration(new)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global answers
        read_configuration()
        if "event-stream" in self.headers.get("Accept", ""):
            self.stream()
            return
        body, status = b"weir verify\n", 200
        if self.headers["Host"] not in hosts or time.monotonic() < empty_until:
            body, status = b"not found\n", 404
        elif not self.headers["Host"].startswith("pass-"):
            answers += 1
            if "hoard" in MODES:
                kept.append(bytearray(os.urandom(1 << 20)))
            if "wrong" in MODES and answers % 10 == 0:
                body = b"weir verifz\n"
        self.answer(status, body)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Ballast", "here")
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        began = configurations
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("X-Ballast", "here")
        self.end_headers()
        self.close_connection = True
        while "cuts" not in MODES or began == configurations:
            try:
                self.wfile.write(b"e\r\ndata: verify\n\n\r\n")
            except OSError:
                return
            time.sleep(0.1)

    def log_message(self, *_):
        pass


class Metrics(Handler):
    def do_GET(self):
        self.answer(200, f"weir_plugin_created_total {configurations}\nweir_plugin_live {configurations}\n"
                         f"weir_config_generations_live {configurations}\n".encode())


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


def port(name):
    return int(re.search(rf"{name}:\s+address: 127\.0\.0\.1:(\d+)", Path("traefik.yml").read_text())[1])


def serve(server):
    if "counts" in MODES:
        threading.Thread(target=Server(("127.0.0.1", port("traefik")), Metrics).serve_forever, daemon=True).start()
    (server or Server(("127.0.0.1", port("web")), Handler)).serve_forever()


def supervise():
    """The first process: starts the second one again and again."""
    global empty_until
    server = None if "refuses" in MODES else Server(("127.0.0.1", port("web")), Handler)
    while True:
        child = os.fork()
        if child == 0:
            serve(server)
        os.waitpid(child, 0)
        if "widow" in MODES:
            signal.pause()
        if "forgets" in MODES:
            empty_until = time.monotonic() + 0.2
        if "refuses" in MODES:
            time.sleep(0.2)


if "mute" in MODES:
    sys.exit("this proxy does not like its configuration")
assert sys.argv[1] == "--configFile=traefik.yml"
if MODES & SUPERVISED:
    supervise()
serve(None)

"""A proxy for `weir verify` to find out: answers by itself what the configuration's hosts should get, and does what
FAKE_PROXY says: "good", "leak" (keeps 2 MiB for each configuration), "hoard" (keeps 1 MiB for each request), "rebuild" (says that all plugins were initialised again
at each configuration), "wrong" (another body at each tenth answer), "mute" (never answers), "dies" (after the second
configuration), "stale" (keeps the first configuration)."""

import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODE = os.environ["FAKE_PROXY"]
kept, hosts, text, answers = [], set(), "", 0


def read_configuration():
    global hosts, text
    new = Path("dynamic.yml").read_text()
    if new == text or (MODE == "stale" and text):
        return
    first, text, hosts = not text, new, set(re.findall(r"Host\(`([^`]+)`\)", new))
    if MODE == "dies" and not first:
        os._exit(3)
    if MODE == "leak":
        kept.append(bytearray(os.urandom(2 << 20)))
    for _ in range(51 if first or MODE == "rebuild" else 0):
        print("INF the guest initialised", flush=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global answers
        read_configuration()
        body, status = b"weir verify\n", 200
        if self.headers["Host"] not in hosts:
            body, status = b"not found\n", 404
        elif not self.headers["Host"].startswith("pass-"):
            answers += 1
            if MODE == "hoard":
                kept.append(bytearray(os.urandom(1 << 20)))
            if MODE == "wrong" and answers % 10 == 0:
                body = b"weir verifz\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Ballast", "here")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if MODE == "mute":
    sys.exit("this proxy does not like its configuration")
assert sys.argv[1] == "--configFile=traefik.yml"
port = int(re.search(r"web:\s+address: 127\.0\.0\.1:(\d+)", Path("traefik.yml").read_text())[1])
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()

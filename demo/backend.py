"""backend.py [PORT]: an HTTP server that answers with the request that it got, as text.

Prints "listening on N". N is another port than PORT if that one is taken.
"""

import errno
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fields = "".join(f"  {name}: {value}\n" for name, value in self.headers.items())
        body = f"The backend received:\n\n  {self.requestline}\n{fields}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True


def listen(port):
    try:
        return Server(("127.0.0.1", port), Handler)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return Server(("127.0.0.1", 0), Handler)


if __name__ == "__main__":
    server = listen(int(sys.argv[1]) if len(sys.argv) > 1 else 8081)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()

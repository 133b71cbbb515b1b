"""Many requests in flight at once, held by their upstream until it lets go. Without threads per connection, so that
thousands are cheap."""

import asyncio
import collections
import resource
import threading

from .waiting import wait_until

HOLD_TARGET = "/hold"
BODY = b"x" * 128
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(BODY)
ANSWER = HEAD + b"\r\n" + BODY
# So that nothing is left of a flight but what the proxy keeps of itself.
LAST_ANSWER = HEAD + b"Connection: close\r\n\r\n" + BODY


def raise_descriptor_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self):
        raise_descriptor_limit()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, coroutine, timeout_s=120):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout_s)

    async def _cancel_all(self):
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self):
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)
        self.loop.close()


class HoldingUpstream:
    """A server that answers requests for HOLD_TARGET once `release` has been called, and all others at once."""

    def __init__(self):
        self.held = 0
        self._loop = _Loop()
        self._loop.run(self._listen())
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def _listen(self):
        self._released = asyncio.Event()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096)

    async def _serve(self, reader, writer):
        try:
            while (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1] != HOLD_TARGET.encode():
                writer.write(ANSWER)
            self.held += 1
            await self._released.wait()
            writer.write(LAST_ANSWER)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        finally:
            writer.close()

    def wait_held(self, count, timeout_s=60):
        wait_until(lambda: self.held >= count, lambda: f"{self.held} requests are held, expected {count}", timeout_s)

    async def _set(self, released):
        if released:
            self._released.set()
        else:
            self._released.clear()
            self.held = 0

    def release(self):
        """Lets go of what is held; what comes later is answered at once."""
        self._loop.run(self._set(True))

    def hold(self):
        """From now on, again, counting from 0."""
        self._loop.run(self._set(False))

    def stop(self):
        self._server.close()
        self._loop.stop()


class Flight:
    """`count` clients that send one request for HOLD_TARGET each."""

    def __init__(self, port, count):
        self.count = count
        self.statuses = collections.Counter()  # "broken": no response
        self._loop = _Loop()
        self._done = asyncio.run_coroutine_threadsafe(self._all(port), self._loop.loop)

    async def _all(self, port):
        room = asyncio.Semaphore(256)  # connects at once
        await asyncio.gather(*(self._one(port, room) for _ in range(self.count)))

    async def _one(self, port, room):
        status = "broken"
        try:
            async with room:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {HOLD_TARGET} HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            if b"\r\n" in head and body:
                status = int(head.split(b" ", 2)[1])
            writer.close()
        except (OSError, ValueError, IndexError):
            pass
        self.statuses[status] += 1

    @property
    def answered(self):
        return self.statuses.total()

    def finish(self, timeout_s=120):
        """Waits for all responses; returns how many there were of each status."""
        self._done.result(timeout_s)
        self._loop.stop()
        return dict(self.statuses)

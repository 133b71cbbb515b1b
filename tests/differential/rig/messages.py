"""Short ways to write requests, services and routers in the tables."""

from harness.client import request_bytes


def get(target="/", *headers, host="site.example", method="GET", version="1.1"):
    return request_bytes(method, target, headers, host=host, version=version)


def post(target="/", body=b"hello", *headers, host="site.example", method="POST", chunks=None, version="1.1"):
    return request_bytes(method, target, headers, None if chunks is not None else body, chunks, host, version)


def raw(*lines, body=b""):
    """A head of exactly these lines, which are text or bytes."""
    encoded = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
    return b"\r\n".join(encoded) + b"\r\n\r\n" + body


def service(*names, **options):
    """A load balancer over backends by name."""
    return {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:<<{name}>>"} for name in names], **options}}


def everything(service_options=None, router=None, **http):
    """A router for all requests to the backend `a`."""
    return {"http": {"routers": {"all": {"rule": "PathPrefix(`/`)", "service": "s", **(router or {})}},
                     "services": {"s": service("a", **(service_options or {}))}, **http}}

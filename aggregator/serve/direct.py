"""Whether a request came straight from a program on this machine, and not through a proxy. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from aggregator.links import is_loopback

# How header fields of proxies begin.
_BY_PROXIES = tuple(
    b"forwarded via client-ip true-client-ip fastly-client-ip cdn-loop x-forwarded x-real-ip x-client-ip"
    b" x-cluster-client-ip x-original- x-proxyuser-ip x-envoy- x-amzn- cf-".split()
)
_MAX_HOST = 300


def is_direct(headers: Iterable[tuple[bytes, bytes]], http_version: str) -> bool:
    """True if the client named this machine as the host, and nothing says that a proxy forwarded its request.

    Not every proxy says so. nginx sends HTTP/1.0 unless it is configured, HAProxy the host that its client named; so
    does a page of another site whose name was made to lead to this machine (DNS rebinding).
    """
    host = b""
    for name, value in headers:
        if name.startswith(_BY_PROXIES):
            return False
        if name == b"host":
            host = value
    return http_version != "1.0" and len(host) <= _MAX_HOST and is_loopback(_host_name(host.decode("latin-1").lower()))


def _host_name(host: str) -> str:
    """The value of Host without its port and the brackets of an IPv6 address."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]

"""HTTP to addresses that may be reached: every request's host is resolved here, checked, and connected to as checked.

So another reading of an address, a redirect, or a name that resolves otherwise a moment later leads nowhere.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

_NAT64 = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))


class ForbiddenAddress(httpx.TransportError):
    """The host is, or leads to, an address that may not be reached."""


def is_public(address: str) -> bool:
    """Whether an IP address lies in the open internet, whatever it is wrapped in."""
    try:
        ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if any(ip in network for network in _NAT64):
            inner.append(IPv4Address(int(ip) & 0xFFFFFFFF))
        if int(ip) >> 32 == 0:
            inner.append(IPv4Address(int(ip)))
        if any(i is not None and not is_public(str(i)) for i in inner):
            return False
        if ip.ipv4_mapped is not None:
            return True
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def resolved(host: str, port: int, allow_private: bool) -> str:
    """An address of a host, provided that all of its addresses may be reached. Raises `ForbiddenAddress`."""
    try:
        found = {str(a[4][0]) for a in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError, ValueError) as error:
        raise httpx.ConnectError(f"the host {host[:100]} is not known") from error
    if not allow_private and not all(is_public(a) for a in found):
        raise ForbiddenAddress("its host is an address of the internal network")
    # IPv4 first: not every machine can use the other.
    return sorted(found, key=lambda a: (":" in a, a))[0]


class GuardedTransport(httpx.BaseTransport):
    """Sends each request to the address that was checked, under the name that was asked for."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = httpx.HTTPTransport(trust_env=False, retries=1)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme not in {"http", "https"} or url.userinfo or not url.host:
            raise ForbiddenAddress("its address is not a plain http(s) one")
        port = url.port or (443 if url.scheme == "https" else 80)
        address = resolved(url.host, port, self._allow_private)
        sent = httpx.Request(
            request.method,
            url.copy_with(host=address),
            # The header Host was set from the name.
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.raw_host.decode("ascii")},
        )
        return self._inner.handle_request(sent)

    def close(self) -> None:
        self._inner.close()

"""Network addresses as callers are counted by them: what one caller can change costs it nothing."""

from __future__ import annotations

import ipaddress

_HOST_BITS = 64


def counted_as(address: str) -> str:
    """The address under which its caller is counted.

    Of IPv6 it is the network of 64 bits, since whoever has one address has all of those (RFC 6177);
    an IPv4 address within IPv6 is that address. What is no address is counted as it is.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), _HOST_BITS), strict=False))

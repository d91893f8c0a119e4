"""Which addresses everybody can reach. Pure.

https://www.iana.org/assignments/iana-ipv4-special-registry and …/iana-ipv6-special-registry, of which `ipaddress` knows
most.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

#: All global unicast addresses of IPv6: https://www.iana.org/assignments/ipv6-address-space
_UNICAST = IPv6Network("2000::/3")
#: Protocol assignments (some are whatever the nearest router answers to), 6to4 (it leads to an IPv4 address) and its
#: relays, documentation.
_NOT_PUBLIC = tuple(
    ip_network(one) for one in ("192.0.0.0/24", "2001::/23", "2002::/16", "192.88.99.0/24", "3fff::/20")
)
#: Lead to the IPv4 address in their last 32 bits: IPv4-mapped ones, and NAT64 (RFC 6052).
_LEADING_ON = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))


def is_public(text: str) -> bool:
    """``text`` is an IP address."""
    address = _end(ip_address(text))
    if address.version == 6 and address not in _UNICAST:
        return False
    return address.is_global and not address.is_multicast and not any(address in one for one in _NOT_PUBLIC)


def _end(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if any(address in one for one in _LEADING_ON):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address

"""Which addresses everybody can reach."""

import pytest

from ghapp.core.addresses import is_public


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "140.82.121.3",
        "172.32.0.1",
        "192.0.1.1",
        "192.31.196.1",
        "223.255.255.254",
        "2001:4860:4860::8888",
        "2606:50c0:8000::153",
        "2a00:1450:4001:80e::200e",
        "::ffff:140.82.121.3",
        "64:ff9b::8c52:7903",
    ],
)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        # this network, private, shared, loopback, link-local
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "169.254.169.254"),
        # protocol assignments, documentation, benchmarking, relays of 6to4
        *("192.0.0.1", "192.0.0.9", "192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1"),
        *("192.88.99.1",),
        # multicast, reserved, broadcast
        *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        # unspecified, loopback, unique local, link-local, site-local, multicast
        *("::", "::1", "fc00::1", "fd00::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1"),
        # IPv4-mapped, IPv4-compatible, IPv4-translated
        *("::ffff:100.64.0.1", "::ffff:127.0.0.1", "::ffff:224.0.0.1", "::ffff:192.0.0.192", "::7f00:1"),
        *("::ffff:0:127.0.0.1",),
        # NAT64, of the operator too
        *("64:ff9b::a9fe:a9fe", "64:ff9b::a00:1", "64:ff9b::e000:1", "64:ff9b:1::1", "64:ff9b:1:a00:0:100::"),
        # 6to4, Teredo
        *("2002:a00:1::", "2002:8c52:7903::1", "2001:0:7f00:1::1"),
        # discarded, benchmarking, ORCHID, documentation, segment routing, what is not assigned
        *(
            "100::1",
            "100:0:0:1::1",
            "2001:2::1",
            "2001:20::1",
            "2001:1::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "4000::1",
        ),
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(address)

"""Where a stranger's URL may lead: no internal address by name, number, redirect or rebinding, no other protocol."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from kennel.addresses import is_public
from kennel.errors import AddressNotAllowed, BadUrl, UrlUnreadable
from kennel.fetch import Network, fetch_image

from tests.unit.fakes import png
from tests.unit.hostile import OTHER_PUBLIC, PUBLIC, answer, redirect, serving

# --- Addresses --------------------------------------------------------------------------------------------------------

INTERNAL = {
    "loopback": "127.0.0.1",
    "loopback, whole block": "127.255.0.9",
    "unspecified": "0.0.0.0",
    "private 10": "10.1.2.3",
    "private 172": "172.31.0.2",
    "private 192": "192.168.1.1",
    "shared (carrier NAT)": "100.64.0.1",
    "EC2 metadata": "169.254.169.254",
    "container credentials": "169.254.170.2",
    "multicast": "224.0.0.1",
    "broadcast": "255.255.255.255",
    "reserved": "240.0.0.1",
    "6to4 relay": "192.88.99.1",
    "documentation": "203.0.113.7",
    "IPv6 loopback": "::1",
    "IPv6 unspecified": "::",
    "IPv6 EC2 metadata": "fd00:ec2::254",
    "IPv6 link local": "fe80::1",
    "IPv6 link local with zone": "fe80::1%eth0",
    "IPv6 site local": "fec0::1",
    "IPv6 multicast": "ff02::1",
    "IPv4-mapped loopback": "::ffff:127.0.0.1",
    "IPv4-mapped metadata": "::ffff:169.254.169.254",
    "IPv4-mapped public": "::ffff:93.184.216.34",
    "IPv4-compatible": "::7f00:1",
    "NAT64 of metadata": "64:ff9b::169.254.169.254",
    "NAT64 of public": "64:ff9b::5db8:d822",
    "NAT64 local use": "64:ff9b:1::7f00:1",
    "6to4 of loopback": "2002:7f00:1::",
    "6to4 of public": "2002:5db8:d822::1",
    "Teredo": "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "IPv6 documentation": "2001:db8::1",
    "not an address": "dogs.example",
}


@pytest.mark.parametrize("address", INTERNAL.values(), ids=INTERNAL.keys())
def test_a_name_that_leads_inside_is_refused_before_connecting(address: str) -> None:
    with serving(answer(png())) as (world, _):
        world.names["dogs.example"] = [[address]]
        with pytest.raises(AddressNotAllowed) as caught:
            world.fetch()

    assert not world.connections
    assert address not in str(caught.value).replace("dogs.example", "")


def test_one_internal_address_among_public_ones_is_enough_to_refuse() -> None:
    with serving(answer(png())) as (world, _):
        world.names["dogs.example"] = [[PUBLIC, OTHER_PUBLIC, "2606:2800:21f::1", PUBLIC, "10.0.0.1"]]
        with pytest.raises(AddressNotAllowed):
            world.fetch()
    assert not world.connections


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "127.1",
        "017700000001",
        "2852039166",
        "0251.0376.169.254",
    ],
)
def test_numbers_in_odd_spellings_are_what_they_are(host: str) -> None:
    with serving(answer(png())) as (world, _), pytest.raises(AddressNotAllowed):
        world.fetch(f"http://{host}/latest/meta-data/")
    assert not world.connections


@pytest.mark.parametrize("host", ["[::1]", "[::ffff:7f00:1]", "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]", "[::]"])
def test_ipv6_literals_inside_are_refused(host: str) -> None:
    with serving(answer(png())) as (world, _), pytest.raises(AddressNotAllowed):
        world.fetch(f"http://{host}/")
    assert not world.connections


def test_public_addresses_are_public() -> None:
    for address in (PUBLIC, "8.8.8.8", "52.216.0.1", "2606:4700::1111", "2600:1f18::1"):
        assert is_public(address)


def test_rebinding_finds_no_second_lookup() -> None:
    with serving(answer(png())) as (world, _):
        world.names["dogs.example"] = [[PUBLIC], ["127.0.0.1"]]
        assert world.fetch() == png()

    assert world.lookups == ["dogs.example"]
    assert world.connections == [(PUBLIC, 80)]


def test_rebinding_between_redirects_is_caught_by_the_next_hop() -> None:
    with serving(redirect("/again"), answer(png())) as (world, _):
        world.names["dogs.example"] = [[PUBLIC], ["169.254.169.254"]]
        with pytest.raises(AddressNotAllowed):
            world.fetch()
    assert world.connections == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/latest/meta-data/",
        "http://[64:ff9b::7f00:1]/",
        "//localhost/",
    ],
)
def test_redirects_inside_are_refused(location: str) -> None:
    with serving(redirect(location), answer(png())) as (world, _):
        world.names["localhost"] = [["127.0.0.1", "::1"]]
        with pytest.raises(AddressNotAllowed):
            world.fetch()
    assert world.connections == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://dogs.example/", "http://dogs.example:6379/", "gopher:x"]
)
def test_redirects_to_other_protocols_and_ports_are_refused(location: str) -> None:
    with serving(redirect(location), answer(png())) as (world, _), pytest.raises(BadUrl):
        world.fetch()
    assert len(world.connections) == 1


@pytest.mark.parametrize("location", ["http://dogs.example/", "/next?n=1", "?again"])
def test_redirect_loops_end_after_three(location: str) -> None:
    with serving(redirect(location)) as (world, _), pytest.raises(UrlUnreadable, match="more than 3 times"):
        world.fetch()
    assert len(world.connections) == 4


# --- URLs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "dog.jpg",
        "//dogs.example/dog.jpg",
        "file:///etc/passwd",
        "ftp://dogs.example/",
        "gopher://dogs.example:80/",
        "data:image/png;base64,AAAA",
        "http://",
        "http:///path",
        "http://user@dogs.example/",
        "http://user:secret@dogs.example/",
        "http://dogs.example@127.0.0.1/",
        "http://@dogs.example/",
        "http://dogs.example:22/",
        "http://dogs.example:8080/",
        "http://dogs.example:99999/",
        "http://dogs.example:http/",
        "http://dogs.example:-80/",
        "http://dogs.example\\@127.0.0.1/",
        "http://dogs.example/ dog.jpg",
        "http://dogs.example/\r\nHost: evil",
        "http://dogs.example/\x00",
        " http://dogs.example/",
        "http://dögs.example/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http://dogs..example/",
        "http://[::1/",
        "http://[dogs.example]/",
        "http://[fe80::1%25eth0]/",
        "http://[v1.x]/",
        "http://dogs.example/" + "x" * 2048,
    ],
)
def test_urls_that_are_not_read(url: str) -> None:
    with serving(answer(png())) as (world, _), pytest.raises((BadUrl, AddressNotAllowed)):
        world.fetch(url)
    assert not world.connections


def test_a_name_without_an_address_is_said_to_have_none() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(UrlUnreadable, match=r"dogs\.example has no address"):
        fetch_image("http://dogs.example/?secret", max_bytes=1, timeout_seconds=5, network=Network(resolve=resolve))


def test_the_address_table_above_is_of_addresses() -> None:
    for name, address in INTERNAL.items():
        if name != "not an address":
            ipaddress.ip_address(address)

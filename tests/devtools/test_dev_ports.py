"""Ports: a taken one is passed over, and said."""

import socket

import pytest

from devtools.ports import LOOPBACK, Ports, is_free


def test_a_taken_port_gives_the_next_free_one_and_says_so() -> None:
    said: list[str] = []
    port = Ports().free()
    with socket.create_server((LOOPBACK, port)):
        given = Ports(said.append).near(port, what="the backend")
    assert given > port
    assert said == [f"port {port} is taken: the backend uses {given}"]


def test_a_free_port_is_given_silently() -> None:
    said: list[str] = []
    port = Ports().free()
    assert Ports(said.append).near(port, what="Valkey") == port
    assert said == []


def test_a_port_is_given_only_once() -> None:
    ports = Ports()
    port = ports.free()
    assert ports.near(port, what="one") != port


@pytest.mark.parametrize("address", ["", "127.0.0.2"])
def test_a_port_that_someone_has_on_another_address_is_taken(address: str) -> None:
    port = Ports().free()  # LiveKit's media port listens on all of them
    with socket.create_server((address, port)):
        assert not is_free(port)


def test_udp_and_tcp_are_looked_at_apart() -> None:
    port = Ports().free()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((LOOPBACK, port))
        assert not is_free(port, udp=True)
        assert is_free(port)

"""Free ports on loopback.

Between the look and the use another program may take a port; the server then fails to start and
says so. Tests take theirs below the range from which Linux gives ports to outgoing connections.
"""

import random
import socket
from collections.abc import Callable

from devtools.errors import DevError

LOOPBACK = "127.0.0.1"
TEST_RANGE = range(15_000, 32_000)
TRIES = 200


def is_free(port: int, *, udp: bool = False) -> bool:
    """Whether a server could listen on the port now."""
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    for address in (LOOPBACK, ""):  # "": someone may listen on all addresses
        with socket.socket(socket.AF_INET, kind) as probe:
            if not udp:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


class Ports:
    """Gives each port once."""

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self._given: set[int] = set()
        self._say = say

    def near(self, preferred: int, *, what: str, udp: bool = False) -> int:
        """Return ``preferred`` or, if it is taken, the next free one, and say so."""
        for port in range(preferred, min(preferred + TRIES, 65_536)):
            if port in self._given or not is_free(port, udp=udp):
                continue
            self._given.add(port)
            if port != preferred:
                self._say(f"port {preferred} is taken: {what} uses {port}")
            return port
        raise DevError(f"no free port for {what} from {preferred} on: stop what listens there")

    def free(self, *, udp: bool = False) -> int:
        """Return any free port."""
        for port in random.sample(TEST_RANGE, TRIES):
            if port not in self._given and is_free(port, udp=udp):
                self._given.add(port)
                return port
        raise DevError("no free port on loopback")

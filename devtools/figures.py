"""What the first set-up costs: said before the first download, and in the README (a test compares).

Measured by ``dev.py setup`` in a fresh clone with an empty cache, without Go and Node on PATH, on
2 cores (devtools' own test machine); the network there was fast.
"""

SETUP_MINUTES = 4
"""Nearly all of it is LiveKit's server being built; it is built once, for all checkouts."""

BUILD_MB = 2_600
"""Disk at the worst moment: while LiveKit's server is built."""

KEPT_MB = 1_000
"""Disk afterwards, for run and demo: packages and voices, LiveKit's server, Node, the page."""

TEST_MB = 400
"""Disk on top of that for the tests' packages (Chromium, where it is missing, not counted)."""

START_MB = 200
"""Room for data and logs that a start insists on."""

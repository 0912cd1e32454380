"""What the first set-up costs: said before the first download, and in the README (a test compares).

Measured on 2026-11-21: ``dev.py setup`` in a fresh clone with an empty home and neither Go nor Node
on PATH, 2 cores that others used too, a fast network: 172 s, of which 168 s for LiveKit's server;
2,447 MB at the worst moment.
"""

SETUP_MINUTES = 3
"""Nearly all of it is LiveKit's server being built; that is done once, for all checkouts."""

BUILD_MB = 2_600
"""Disk at the worst moment: while LiveKit's server is built."""

KEPT_MB = 1_300
"""Disk afterwards, for run and demo: packages, voices, LiveKit's server, Node, the page."""

TEST_MB = 400
"""Disk on top of that for the tests' packages (Chromium, where it is missing, not counted)."""

START_MB = 200
"""Room for data and logs that a start insists on."""

"""Imported once in the forkserver, before job processes are forked from it.

The one module whose import does something: it brings in what every job needs, and makes the
forkserver deaf to a SIGTERM that was meant for the process group. Without it the forkserver dies
first, and the worker takes its running jobs for dead.
"""

import signal

from voice_agent.bootstrap import job

__all__ = ["job"]

signal.signal(signal.SIGTERM, signal.SIG_IGN)

"""Where the processes of one worker meet: sockets in a folder of their own."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Made by the worker's main process and handed to each job."""

    folder: Path

    @property
    def metrics(self) -> Path:
        """Socket that jobs send figures to."""
        return self.folder / "metrics.sock"

    @property
    def speech(self) -> Path:
        """Socket of the speech process, unless a setting names another."""
        return self.folder / "speech.sock"


def runtime_of_this_process() -> Runtime:
    """Name the folder; ``Runtime.folder`` is made when the worker begins.

    In the temporary folder, because a socket's path may have only 107 bytes.
    """
    return Runtime(folder=Path(tempfile.gettempdir()) / f"throughline-{os.getpid()}")

"""``agent.py start | dev``: check the settings, then hand over to livekit-agents' own command."""

import sys
from pathlib import Path

from config.settings import SettingsError, load
from voice_agent.bootstrap.packages import check_packages

BAD_SETTINGS = 2


def main(agent_file: Path, *, dev: bool, more: list[str]) -> int:
    """Run the worker until SIGTERM or Ctrl-C; it drains its calls first (``start``)."""
    try:
        settings = load()
        check_packages(settings)
        from voice_agent.bootstrap.preflight import look
        from voice_agent.bootstrap.worker import check, check_ports

        check(settings)
        check_ports(settings)
        for line in look(settings):
            sys.stderr.write(f"agent: {line}\n")
    except SettingsError as exc:
        sys.stderr.write(f"agent: {exc}\n")
        return BAD_SETTINGS
    if not settings.backend_url:
        sys.stderr.write("agent: no BACKEND_URL: memory-only mode, nothing that is said is kept\n")
    from livekit.agents.__main__ import main as livekit_main

    sys.path.insert(0, str(agent_file.parent))
    colored = "colored" if settings.log.format == "text" else "json"
    args = ["start", str(agent_file), "--log-level", settings.log.level.upper()]
    args += ["--log-format", colored, *(["--dev"] if dev else []), *more]
    return livekit_main(args)

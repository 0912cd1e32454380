"""The voice agent's program: ``python agent.py start | dev | relay | doctor``.

Thin on purpose: everything is composed in voice_agent/bootstrap. ``lk`` and ``python -m
livekit.agents start agent.py`` find ``server`` here.
"""

import sys
from pathlib import Path

USAGE = "usage: python agent.py start | dev | relay | doctor"


def main(argv: list[str]) -> int:
    """Run one of the programs; 2 means that the settings or the command cannot work."""
    command = argv[0] if argv else ""
    if command == "relay":
        from voice_agent.bootstrap import relay

        return relay.main(argv[1:])
    if command == "doctor":
        from voice_agent.bootstrap import doctor

        return doctor.main()
    if command in {"start", "dev"}:
        from voice_agent.bootstrap import start

        return start.main(Path(__file__), dev=command == "dev", more=argv[1:])
    sys.stderr.write(USAGE + "\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
elif __name__ != "__mp_main__":  # a job process imports this file too, and needs no server
    from voice_agent.bootstrap.worker import make_server

    server = make_server()

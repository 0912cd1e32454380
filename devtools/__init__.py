"""What a developer's machine needs: set-up, servers, ``dev.py``'s verbs. Never shipped.

Standard library only: most of it runs before the virtual environment exists. In order:

- paths, figures, errors, console, commands: where things are, what they cost, how it is said
- locks, stamps, disk, ports, processes: small facts about this machine
- venvs, livekit_build, node, programs, setup: everything the project needs, made once
- servers/: LiveKit, Valkey, backend and worker as programs that start, get ready and stop
- system, secrets, env_file, leftovers, watch, run, demo: all of them together
- checks, clean, lock_requirements, cli: the other verbs
"""

"""``dev.py``'s verbs."""

import argparse
import sys

from devtools import chaos, checks, clean, demo, lock_requirements, run, setup
from devtools.console import complain
from devtools.errors import DevError

INTERRUPTED = 130


def main(argv: list[str]) -> int:
    """Run one verb; what goes wrong is one line, and where it helps the end of a log."""
    verb, *rest = argv or ["--help"]
    try:
        if verb in {"test", "demo", "chaos"}:  # what follows is theirs
            return _with_words(verb, rest[1:] if rest[:1] == ["--"] else rest)
        return _plain(_arguments().parse_args(argv or ["--help"]))
    except DevError as exc:
        for line in exc.details.splitlines():
            complain(f"  | {line[:300]}")
        complain(f"dev.py: {exc.sentence}")
        return exc.code
    except KeyboardInterrupt:
        complain("dev.py: stopped")
        return INTERRUPTED


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py", description="Throughline on this machine.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    up = verbs.add_parser("run", help="set up, start everything, print the page's address")
    up.add_argument("--postgres", action="store_true", help="store in PostgreSQL, not in SQLite")
    up.add_argument(
        "--gemini", action="store_true", help="with a stand-in for Gemini Live, without a key"
    )
    verbs.add_parser("test", help="set up and run all tests (what follows is given to pytest)")
    verbs.add_parser("demo", help="set up and play the scripted proof in a real room")
    verbs.add_parser("chaos", help="kill everything around many calls, check that nothing is lost")
    verbs.add_parser("stop", help="stop what runs, or what a killed run left behind")
    check = verbs.add_parser("check", help="format, lint, types, import rules, unit tests")
    check.add_argument("--static", action="store_true", help="without the unit tests")
    setup = verbs.add_parser("setup", help="set up only")
    setup.add_argument("--dev", action="store_true", help="also what tests and checks need")
    clean = verbs.add_parser("clean", help="remove what was made in this checkout")
    clean.add_argument("--all", action="store_true", help="and the cache all checkouts share")
    lock = verbs.add_parser("lock", help="write requirements*.txt from pyproject.toml")
    lock.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    return parser


def _with_words(verb: str, words: list[str]) -> int:
    if verb == "test":
        setup.ensure("dev")
        return checks.test(words)
    if verb == "chaos":
        setup.ensure("dev")
        return chaos.chaos(words)
    setup.ensure("run")
    return demo.demo(words)


def _plain(given: argparse.Namespace) -> int:
    match given.verb:
        case "run":
            setup.ensure("run")
            return run.run(on_postgres=given.postgres, with_gemini=given.gemini)
        case "stop":
            return run.stop()
        case "check":
            setup.ensure("dev")
            return checks.check(static_only=given.static)
        case "clean":
            return clean.clean(all_=given.all)
        case "lock":
            return lock_requirements.lock(upgrade=given.upgrade)
        case _:
            setup.ensure("dev" if given.dev else "run")
            sys.stdout.write(f"everything is set up: {setup.describe()}\n")
            return 0

"""The commands: ``python -m backend serve | migrate | token create | openapi``.

What cannot work is one line on stderr that says what to do, and exit code 1.
"""

import argparse
import asyncio
import gc
import signal
import socket
import sys
from types import FrameType

from backend import logs, settings
from backend.errors import BackendError, StartRefused
from backend.service.access import SCOPES, Access
from backend.settings import Settings
from backend.storage.choice import open_storage
from backend.storage.records import Scope


def main() -> int:
    """Run a command; return the exit code."""
    given = _arguments().parse_args()
    try:
        loaded = settings.load()
        match given.command:
            case "serve":
                return _serve(loaded)
            case "migrate":
                asyncio.run(_migrate(loaded))
            case "token":
                asyncio.run(_create_token(loaded, given.tenant, given.scope, given.ttl_s))
            case "openapi":
                _print_openapi(loaded)
    except BackendError as exc:
        sys.stderr.write(f"backend: {exc.detail}\n")
        return 1
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend", description="The reference backend.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="answer requests")
    commands.add_parser("migrate", help="bring the database to this program's schema")
    commands.add_parser("openapi", help="print openapi.json")
    token = commands.add_parser("token", help="tokens").add_subparsers(dest="act", required=True)
    create = token.add_parser("create", help="make a token and print it, this once")
    create.add_argument("--tenant", required=True)
    create.add_argument("--scope", required=True, choices=SCOPES)
    create.add_argument("--ttl-s", type=_positive, default=None, help="life in seconds; none: ever")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise argparse.ArgumentTypeError("more than 0 seconds")
    return number


async def _migrate(loaded: Settings) -> None:
    storage = open_storage(loaded)
    await storage.open()
    await storage.close()
    sys.stderr.write("the database has this program's schema\n")


async def _create_token(loaded: Settings, tenant: str, scope: Scope, ttl_s: int | None) -> None:
    storage = open_storage(loaded)
    await storage.open()
    try:
        secret = await Access(storage).create(tenant, scope, ttl_s)
    finally:
        await storage.close()
    sys.stdout.write(secret + "\n")


def _print_openapi(loaded: Settings) -> None:
    from backend.api import contract  # here: the small commands start in a third of the time
    from backend.api.app import create_app

    sys.stdout.write(contract.rendered(create_app(loaded)))


def _serve(loaded: Settings) -> int:
    from backend.api.app import create_app  # here: see _print_openapi
    from backend.api.metrics import Metrics
    from backend.api.server import server_of

    logs.configure()
    metrics = Metrics()
    app = create_app(loaded, metrics)
    asyncio.run(_check_storage(loaded))
    with _listen(loaded) as listener:
        served = metrics.serve(loaded.host, loaded.metrics_port) if loaded.metrics_port else None
        host, port = listener.getsockname()[:2]
        sys.stderr.write(f"backend on http://{host}:{port}\n")
        sys.stderr.flush()
        server = server_of(app, drain_s=loaded.drain_s)
        gc.collect()
        gc.freeze()  # what was made so far stays: looking through it stopped all for 70 ms
        signal.signal(signal.SIGTERM, _stopped)  # uvicorn drains first, then raises it again
        signal.signal(signal.SIGINT, _stopped)
        try:
            server.run(sockets=[listener])
        finally:
            if served is not None:
                served.close()
    return 0 if server.started else 1


def _stopped(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


async def _check_storage(loaded: Settings) -> None:
    """Open the database once before the port: what is wrong with it is one line, no traceback."""
    storage = open_storage(loaded)
    await storage.open()
    await storage.close()


def _listen(loaded: Settings) -> socket.socket:
    """Take the port; raise StartRefused when another program has it."""
    family = socket.AF_INET6 if ":" in loaded.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((loaded.host, loaded.port))
        listener.listen(2048)
    except OSError as exc:
        listener.close()
        raise StartRefused(
            f"port {loaded.port} on {loaded.host} cannot be used ({exc.strerror}):"
            " end the other program, or set VOICE_BACKEND__PORT to a free one"
        ) from exc
    return listener


if __name__ == "__main__":
    sys.exit(main())

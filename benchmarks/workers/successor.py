"""A process that takes conversations over: reads each back once and says how long it took.

    python -m benchmarks.workers.successor LAYER  (redis | backend)

Its settings are the agent's own, from the environment; ids come from stdin, one a line.
"""

from __future__ import annotations

import asyncio
import json
import sys

from backend_client import BackendClient, backend_http
from config.settings import load
from voice_agent.aio.clock import SystemClock
from voice_agent.bootstrap.hot import hot_tier
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state.ports import PreviousWriter, WriterGrant
from voice_agent.state.recovery import Recovery


async def take_over(layer: str, conversation_id: ConversationId, previous: PreviousWriter) -> None:
    """Read one conversation back over new connections, as the process of a new call does."""
    settings, clock = load(), SystemClock()
    assert settings.backend_url is not None
    assert settings.backend_token is not None
    token = settings.backend_token.get_secret_value()
    async with backend_http(url=settings.backend_url, token=token, timeout_s=5.0) as http:
        hot = hot_tier(settings, clock=clock) if layer == "redis" else None
        recovery = Recovery(
            cache=hot.cache if hot else None,
            backend=BackendClient(http, timeout_s=5.0),
            outbox_folder=None,
            clock=clock,
            deadline_s=5.0,
        )
        grant = WriterGrant(
            fence=previous.fence + 1,
            session_number=0,
            version=0,
            lease_s=3.0,
            previous=(previous,),
        )
        read = await recovery.recover(conversation_id, limit=20, grant=grant)
    answer = {"source": read.source, "took_ms": read.took_ms, "count": len(read.events)}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Take over whatever stdin names."""
    for line in sys.stdin:
        told = json.loads(line)
        previous = PreviousWriter(
            writer_id=WriterId(told["writer_id"]),
            fence=told["fence"],
            last_ordinal=told["last_ordinal"],
        )
        asyncio.run(take_over(sys.argv[1], ConversationId(told["id"]), previous))
    return 0


if __name__ == "__main__":
    sys.exit(main())

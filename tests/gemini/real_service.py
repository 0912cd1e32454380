"""The same promises against the real service. Off by default: it needs a key and costs money.

    GOOGLE_API_KEY=... python -m tests.gemini.real_service --yes [--model NAME]

Typed turns only. A secret word is said, the connection is cut under the session, and the word is
asked for: once resumed in the same session, once in another, from saved bytes. Exit code 1 when it
is not remembered. What is learnt here belongs in docs/gemini.md.
"""

import argparse
import asyncio
import os
import secrets
import sys

from livekit.agents import llm

from tests.gemini.talking import Talk
from tests.support.waiting import wait_for
from voice_agent.providers.gemini import Options, Outcome, RealtimeModel, prepare

WITHIN_S = 30.0


async def remembers(talk: Talk, word: str) -> bool:
    """Ask for the word."""
    count = len(talk.heard)
    await talk.type("Which secret word did I tell you? Answer with that word alone.")
    await wait_for(lambda: len(talk.heard) > count, within_s=WITHIN_S, what="an answer")
    return word in talk.heard[-1].lower()


async def run(model: str, key: str) -> bool:
    """Play it; print what happened."""
    outcomes: list[Outcome] = []
    options = Options(on_outcome=outcomes.append)
    word = f"plum{secrets.randbelow(900) + 100}"
    session = RealtimeModel(model=model, api_key=key, options=options).session()
    talk = Talk(session)
    await talk.type(f"The secret word is {word}. Say only: noted.")
    await wait_for(lambda: talk.heard and session.save(), within_s=WITHIN_S, what="a handle")
    link = session._link
    assert link is not None
    await link.close()
    await wait_for(lambda: outcomes, within_s=WITHIN_S, what="the session was renewed")
    here = await remembers(talk, word)
    await asyncio.sleep(1.0)  # the last handle of a real service may take this long
    payload, context = session.save(), llm.ChatContext(session.chat_ctx.items)
    await talk.aclose()
    next_session = RealtimeModel(
        model=model, api_key=key, options=options, resume=payload
    ).session()
    await next_session.update_chat_ctx(context)
    other = Talk(next_session)
    there = await remembers(other, word)
    await other.aclose()
    print(f"same session: {here}; another: {there}; outcomes: {[o.kind for o in outcomes]}")
    return here and there


def main() -> int:
    """Run with a key, or say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yes", action="store_true", help="really speak to the service")
    parser.add_argument("--model", default="gemini-2.5-flash-native-audio-preview-12-2025")
    args = parser.parse_args()
    key = os.environ.get("GOOGLE_API_KEY", "")
    if not args.yes or not key:
        print("real_service: set GOOGLE_API_KEY and pass --yes: this speaks to the real service")
        return 2
    prepare()
    return 0 if asyncio.run(run(args.model, key)) else 1


if __name__ == "__main__":
    sys.exit(main())

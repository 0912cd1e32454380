"""What of the caller's sound the next connection hears again, when one is lost."""

import time

from livekit.plugins.google.realtime.realtime_api import _ResponseGeneration

from voice_agent.providers.gemini.outgoing import Outgoing
from voice_agent.providers.gemini.watching import Watch

BEFORE_WORDS_S = 2.0
"""How much earlier than its first transcript an utterance may have begun."""
AGAIN_UNHEARD_S = 5.0
"""Sound that brought no transcript at all is sent again for this long."""


class Hearing:
    """Decides for one session."""

    def __init__(self, *, outgoing: Outgoing, watch: Watch) -> None:
        self._outgoing = outgoing
        self._watch = watch
        self._from = 0.0

    def lost(self, generation: _ResponseGeneration | None) -> bool:
        """A connection is lost. True: words that had no answer are heard anew, from their sound.

        Not half of them, and not twice: their transcript is void then. Where the sound is not here
        any more they are told as they were transcribed.
        """
        now = time.monotonic()
        self._from = now - AGAIN_UNHEARD_S
        if (
            generation is None
            or generation._done
            or self._watch.has_output
            or not generation.input_transcription
        ):
            return False
        began_at = generation._created_timestamp - time.time() + now
        since = began_at - BEFORE_WORDS_S
        if not self._outgoing.reaches_back_to(since, began_at=began_at):
            self._from = self._watch.transcribed_at
            return False
        self._from = since
        return True

    def again(self) -> None:
        """Let the next connection begin with it."""
        self._outgoing.send_again(self._from)

"""Gemini realtime that keeps its memory: the service's view stays equal to the conversation.

``RealtimeModel`` is used like livekit-plugins-google's. Parts, from data to wire:

- ``models``: what each model accepts, as flags
- ``items``: chat items as the service is told of them
- ``memory``: what the conversation is, what the service knows of it, what a handle stands for
- ``saved``: that as bytes, for another process
- ``ladder``: what to try after a failure, and when to stop
- ``outgoing``: sound and activity, between the call and a connection
- ``hearing``: which sound the next connection hears again
- ``replies``: the reply that somebody waits for
- ``upstream``: which of the plugin's private parts are overridden, with their digests
- ``link``: one connection, seen from both sides
- ``sending``, ``incoming``: what goes out on it next, what each message that comes in changes
- ``watching``, ``switching``: what to keep an eye on, and when to leave a connection that lives
- ``reporting``, ``keeping``: how a connection came about; its handle, for another process
- ``session``: the session, which is the plugin's, and the life of its connections
- ``model``: its maker, with the plugin's own arguments

When it fails: the call hears a pause of up to ``Limits.give_up_s``, then an error that is final;
what was said is in the conversation's log all the same.
"""

from voice_agent.providers.gemini.model import RealtimeModel, prepare
from voice_agent.providers.gemini.options import Handles, Limits, Options, Outcome, OutcomeKind
from voice_agent.providers.gemini.session import RealtimeSession

__all__ = [
    "Handles",
    "Limits",
    "Options",
    "Outcome",
    "OutcomeKind",
    "RealtimeModel",
    "RealtimeSession",
    "prepare",
]

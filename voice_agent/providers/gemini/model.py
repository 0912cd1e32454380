"""The model: livekit-plugins-google's, whose sessions keep their memory."""

import ssl
from dataclasses import replace
from functools import cache
from typing import Any

import certifi
from google.genai import Client, types
from livekit.agents.types import NotGivenOr
from livekit.plugins.google.realtime import realtime_api

from voice_agent.providers.gemini.options import Options
from voice_agent.providers.gemini.session import RealtimeSession

SOCKET = {"open_timeout": 10.0, "close_timeout": 1.0, "ping_interval": 5.0, "ping_timeout": 5.0}
"""For the WebSocket: a vanished peer is noticed after 10 s; closing waits for nobody."""


def prepare() -> None:
    """Do once, before a loop runs, what blocks: google-genai's late imports, the TLS context."""
    Client(api_key="none", http_options=types.HttpOptions(async_client_args={"ssl": _tls()}))


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()  # and those that OpenSSL's own variables name
    return context


class RealtimeModel(realtime_api.RealtimeModel):
    """Gemini Live, used like ``livekit.plugins.google.realtime.RealtimeModel``: same arguments.

    Beside them:

    Args:
        resume: what ``session.save()`` returned, perhaps in another process; for the first session.
        options: numbers, the store of handles, and who is told of what.

    Whoever starts a program with it calls ``providers.pinned.wrong_versions`` first.
    """

    def __init__(
        self,
        *,
        resume: bytes | None = None,
        options: Options | None = None,
        http_options: NotGivenOr[types.HttpOptions] | None = None,
        **plugin: Any,  # the plugin's own arguments, checked by the plugin
    ) -> None:
        own = http_options or types.HttpOptions()
        given = own.async_client_args or {}
        tls = given.get("ssl") or _tls()
        own = own.model_copy(update={"async_client_args": {**SOCKET, "ssl": tls, **given}})
        super().__init__(http_options=own, **plugin)
        # a change of tools is a switch between turns, which keeps the memory
        self._capabilities = replace(self._capabilities, mutable_tools=True)
        self.options = options or Options()
        self._resume = resume

    def session(self, *, turn_detection_disabled: bool = False) -> RealtimeSession:
        """Begin a session. The first one takes the saved state over, if there is one."""
        resume, self._resume = self._resume, None
        session = RealtimeSession(self, resume=resume)
        self._sessions.add(session)
        return session

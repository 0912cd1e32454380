"""Speech models: each package here turns one vendor's models into livekit-agents' interfaces.

Parts: ``local`` (no keys, no network: Moonshine, Piper and a rule-based reply, for a first run,
for tests and for a worker whose other providers are away), ``gemini`` (Gemini Live, with its
memory), ``pinned`` (which packages they were written for), ``usage`` (what their reports mean),
``summaries``.

What differs between providers is data, never a class that is asked for by name; only ``bootstrap``
names them. When a provider fails the call goes on: the framework retries, says so in an ``error``
event, and nothing that was already said is lost.
"""

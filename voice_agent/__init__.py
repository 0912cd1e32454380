"""The voice agent: one process serves one room, and nothing said in it is lost.

Parts, from the outside in (imports only point down this list): bootstrap (composition root), room
(LiveKit), providers (speech models), call (one call in domain words), state (the copies of the
log), aio (tasks, clocks, retries), telemetry (logs and metrics), domain (pure).
"""

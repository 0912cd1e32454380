"""The reference backend: the truth of every conversation, behind the HTTP API of openapi.json.

Its own program: it shares no code with the agent, only documented formats, so anyone may replace
it. Its parts, from the edge inwards; imports only point down this list:

- ``__main__``: the commands (serve, migrate, token create, openapi)
- ``api``: HTTP. Routers, tokens, problem+json, the pages, metrics
- ``calls``: LiveKit. Room tokens, and the dispatcher that makes sure an agent arrives
- ``service``: the use cases
- ``jobs``: supervised background work
- ``storage``: the ports, and SQLite behind them
- ``rules``: pure decisions about events, ordinals, fences and turns
- ``errors``, ``clock``, ``settings``

When it is away, agents keep talking: their outboxes hold every event until it is back.
"""

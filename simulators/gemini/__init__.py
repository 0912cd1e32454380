"""A stand-in for the Gemini Live service: a TLS WebSocket server that remembers.

- ``conversation``: what the service remembers, and what it believes it was told
- ``spoken``: words as sound and back, without a recogniser
- ``mind``: what it answers
- ``behaviour``: what goes wrong, and when
- ``connection``: one WebSocket, BidiGenerateContent
- ``certificate``: the TLS certificate of a server on loopback
- ``server``: listens, keeps handles; ``http_options`` is what google-genai is given

``python -m simulators.gemini`` serves it with ears and a voice, for a demo without a key.
Nothing here was learnt from the service's code: the facts it follows are listed in docs/gemini.md.
"""

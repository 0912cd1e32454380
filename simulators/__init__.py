"""Stand-ins for people and for other people's machines: real programs on loopback.

Parts: ``caller`` (a person in a room who speaks, listens and types; with ``microphone`` and
``hearing``), ``ear`` (what a recording says), ``openai_llm`` (a server that speaks OpenAI's chat
completions from a script), ``synthesise`` (makes the spoken fixtures), ``script_job`` (a job
process without LiveKit), ``chaos`` (kills all around many of those), ``checker`` (whether what was
said is stored once and in order).

Production code knows none of them; nothing is lost with them but tests.
"""

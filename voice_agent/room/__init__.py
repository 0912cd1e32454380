"""The edge to LiveKit. Its types stop here (and in providers/).

Parts: worker (the AgentServer and its load), job (one job from dispatch to end), metadata (which
conversation this is), listener (session events become domain events), people (who is in the room),
rivals (other agents in it), agent (the lifecycle hooks), persona (instructions), tools.
"""

"""Speech models and a caller's line that do what a test says, when it says so.

Real subclasses of livekit-agents' own interfaces, so that everything round them is the real thing.
No clock and no audio worth hearing: ``line`` (microphone and loudspeaker), ``pipeline`` (speech
detection, recognition, model, voice), ``realtime`` (a model that does all of it).
"""

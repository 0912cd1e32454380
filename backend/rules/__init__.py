"""Pure decisions about the log: no clock, no I/O, no logging. Both databases obey them.

- ``ordinals``: which of a writer's ordinals have arrived, and where the gaps are
- ``fences``: who gets which fence, and which session a fence belongs to
- ``events``: what an event must look like to be stored, and what identifies it
"""

"""Pure decisions about the log: no clock, no I/O, no logging. Both databases obey them.

- ``events``: what an event must look like to be stored, and what identifies it
- ``ordinals``: which of a writer's ordinals have arrived, and where the gaps are
- ``fences``: who gets which fence, and which session a fence belongs to
- ``rows``: what a change reads before it decides; ``leases``: who may hold one
- ``batches``: which events of a batch are new, and where they go
- ``turns``: where turns begin and end, and what that counts
- ``own_events``: what the backend itself adds to the log
"""

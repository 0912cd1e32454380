"""Calls: the edge to LiveKit.

- ``tickets``: the token a caller joins its room with
- ``rooms``: LiveKit's server API in our words
- ``judge``: is an agent there, on its way, or lost? (pure)
- ``opening``: what POST /v1/calls does
- ``dispatcher``: the job that keeps at it until an agent is there

When LiveKit is away no call can begin; everything else of the backend works.
"""

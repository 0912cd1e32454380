"""The system's programs, each started on loopback, waited for, and ended.

- server: what they have in common
- livekit, valkey, backend, worker: one each
"""

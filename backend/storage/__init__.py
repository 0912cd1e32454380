"""Where the log is kept.

- ``records``: what goes in and comes out, plain data
- ``ports``: what a database must be able to do (the Protocol that PostgreSQL implements later)
- ``sqlite``: the embedded database; ``choice`` takes it, or another, by its address
"""

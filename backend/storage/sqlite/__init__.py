"""SQLite behind the storage ports: one file, one writer thread, readers beside it.

- ``engine``: the writer thread that groups requests into transactions, and the readers
- ``migrate``: numbered forward migrations
- ``store``: the ports, handing each call to the right thread
- ``tokens``, ``conversations``, ``writers``, ``ingest``, ``reading``, ``calls``: the statements

WAL with ``synchronous=FULL``: what was answered survives a power cut. One writer, because SQLite
has one anyway, and a thread that commits for many requests at once pays one fdatasync for all of
them (measured on the project's machine: 14 times the rate of a commit each). Plain ``sqlite3``:
an ORM costs more than the statements it would hide.
"""

"""PostgreSQL behind the storage ports: any number of replicas on one database.

- ``engine``: the pool, deadlines, retries, and errors in our words
- ``migrate``: numbered forward migrations under an advisory lock
- ``store``: the ports, each method one transaction
- ``tokens``, ``conversations``, ``writers``, ``ingest``, ``reading``, ``calls``: the statements
- ``changes``: telling other replicas what has grown
- ``heads``: the row that every change of a conversation locks or checks first

READ COMMITTED, and one lock: whoever changes a conversation holds its row, so positions become
visible in order and every decision is made on what is really there. asyncpg without an ORM
(docs/adr/0011).
"""

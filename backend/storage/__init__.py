"""Where the log is kept.

- ``records``: what goes in and comes out, plain data; ``rows``: the columns it is made of
- ``ports``: what a database must be able to do; ``migrations``: how its schema moves forward
- ``sqlite``: the embedded database; ``postgres``: for several replicas
- ``choice`` takes one by its address
"""

"""The use cases: what a request means, in domain words, over the storage ports.

- ``access``: tokens, and who may do what
- ``clearing``: a clear and the wait for the running agent
"""

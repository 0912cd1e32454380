"""The HTTP edge.

- ``app``: puts the application together
- ``conversations``, ``writers``, ``events``, ``calls``, ``unbuilt``, ``health``, ``pages``: routes
- ``auth``, ``body``, ``problems``: what all of them need
- ``shapes``: the JSON that goes in and out; ``contract``: openapi.json
- ``metrics``: Prometheus
"""

"""What the agent relies on, proved by HTTP alone against any server (docs/own-backend.md)."""

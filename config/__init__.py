"""Everything an operator can set, and the agent's persona. Read by bootstrap alone."""

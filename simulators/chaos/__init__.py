"""Chaos: many calls at once as real processes, and everything around them is killed.

Parts: plan (what is killed when, from one seed), callers (people who repeat what was not
answered), surroundings (backend, relay and the network between), run (all of it, and the verdict),
report (the table). ``python -m simulators.chaos --kills 1000``, or ``dev.py chaos``.
"""

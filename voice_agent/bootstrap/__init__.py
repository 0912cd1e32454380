"""The composition root: the only importer of config, the only place that names concrete classes.

Parts: calls (what a call is made of), hot (what pods share), worker (``agent.py start | dev``), job
(what a job process is made of), relay (``agent.py relay``), doctor (``agent.py doctor``), packages
(whether they fit together). Each imports only what its own process needs.
"""

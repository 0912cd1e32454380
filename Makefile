# A convenience: every verb is dev.py's own, which works without make.
PYTHON ?= python3
VERBS := run test demo chaos stop clean check setup lock

.DEFAULT_GOAL := help
.PHONY: help $(VERBS)

help:
	@$(PYTHON) dev.py --help

# ARGS='-k name' make test: given on to the verb
$(VERBS):
	@$(PYTHON) dev.py $@ $(ARGS)

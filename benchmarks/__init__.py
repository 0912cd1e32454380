"""Benchmarks: each prints a table of ratios measured in one run, against what is possible at best.

Absolute times hold for one machine only; two figures of one run can be compared anywhere. Every
program takes ``--quick`` (a smoke run), ``--strict`` (non-zero when a goal is missed) and
``--patience-s`` (wait so long for a quiet machine). Nothing is lost when one fails.

- ``turn_latency``   end of speech to first audio in real rooms, ours against plain workers
- ``turn_overhead``  what our handlers cost in a turn, also while the backend hangs
- ``outbox``         the write-ahead log against a bare write and fdatasync
- ``ingest``         the backend against its bare database
- ``memory``         a message in memory against its bytes; the window after many
- ``pools``          connection pools after many cancelled calls
- ``figures``, ``machine``  the table and the quiet moment, shared by all
"""

"""The copies of the log that this pod keeps, and how they catch up with the backend.

Parts in the order that an event meets them: codec (bytes), frames (records on disk), outbox (the
write-ahead log of one job; sync brings it to the disk itself, acks say how far the backend is),
store (the one door to all of it), folder and reading (the outboxes as the relay finds them), relay
and delivery (outbox to backend; dead_letters is what the backend refuses), recovery (reading back),
ownership (who may speak), ports (what is needed of others).
"""

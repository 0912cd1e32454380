"""The copies of the log that this pod keeps, and how they catch up with the backend.

Parts in the order that an event meets them: codec (bytes), frames (records on disk), outbox (the
write-ahead log of one job), memory (what the model sees), store (the one door to all of it), relay
(outbox to backend), recovery (reading back), ownership (who may speak), ports (what is needed of
others).
"""

"""The copies of the log that this pod keeps, and how they catch up with the backend.

Parts in the order that an event meets them: codec (bytes), frames (records on disk), outbox (the
write-ahead log of one job; sync brings it to the disk itself, acks say how far the backend is),
store (the one door to all of it), folder and reading (the outboxes as the relay finds them), relay
and delivery (outbox to backend; dead_letters is what the backend refuses). What pods share in Redis
(hot_tier): keys and hot_scripts (what Redis does in one step), hot_client (deadline and breaker),
hot_cache (the tail; the job's hot_feed and the relay's hot_refill bring it what it lacks),
hot_lease, handles (of speech models). Then recovery (reading back; entries is what every copy
gives), read_repair (what only Redis had), ownership (who may speak), ports (what is needed of
others).
"""

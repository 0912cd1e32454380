-- What models used up in a call, added up as its events are stored. Never pruned.
CREATE TABLE usage (
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    writer_id TEXT NOT NULL,
    service TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    count TEXT NOT NULL, -- its name ends in its unit
    amount REAL NOT NULL,
    PRIMARY KEY (tenant, conversation_id, writer_id, service, provider, model, count)
) STRICT, WITHOUT ROWID;

-- Whether a writer has said at its end what no event of it says: that may come after another ended
-- it as lost, and more than once.
ALTER TABLE writers ADD COLUMN usage_told INTEGER NOT NULL DEFAULT 0;

-- What models used up in a call, added up as its events are stored. Never pruned.
CREATE TABLE usage (
    tenant text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    writer_id text COLLATE "C" NOT NULL,
    service text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    count text COLLATE "C" NOT NULL, -- its name ends in its unit
    amount double precision NOT NULL,
    PRIMARY KEY (tenant, conversation_id, writer_id, service, provider, model, count)
);

-- Whether a writer has said at its end what no event of it says: that may come after another ended
-- it as lost, and more than once.
ALTER TABLE writers ADD COLUMN usage_told boolean NOT NULL DEFAULT false;

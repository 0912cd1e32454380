-- Search, profiles and forks.

-- How far the index of a conversation is behind its log.
CREATE TABLE search_state (
    tenant text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    up_to bigint NOT NULL, -- position of the newest message
    indexed bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, conversation_id)
);
CREATE INDEX search_waiting ON search_state (tenant, conversation_id) WHERE up_to > indexed;
INSERT INTO search_state (tenant, conversation_id, up_to)
SELECT tenant, id, last_position FROM conversations WHERE last_position > 0;

-- The conversation is one word of the index, so that a search reads nobody else's messages.
CREATE TABLE search_docs (
    tenant text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    words tsvector NOT NULL,
    PRIMARY KEY (tenant, conversation_id, position)
);
CREATE INDEX search_words ON search_docs USING gin (words);

CREATE TABLE profiles (
    tenant text COLLATE "C" NOT NULL,
    identity text COLLATE "C" NOT NULL,
    body bytea NOT NULL, -- JSON
    etag text NOT NULL, -- of the body
    updated_ms bigint NOT NULL,
    PRIMARY KEY (tenant, identity)
);

-- Where a conversation was copied from: a repeated request finds what the first one made.
CREATE TABLE forks (
    tenant text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    source_id text COLLATE "C" NOT NULL,
    up_to_event_id text,
    PRIMARY KEY (tenant, conversation_id)
);

-- Search, profiles and forks.

-- How far the index of a conversation is behind its log.
CREATE TABLE search_state (
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    up_to INTEGER NOT NULL, -- position of the newest message
    indexed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, conversation_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX search_waiting ON search_state (tenant, conversation_id) WHERE up_to > indexed;
INSERT INTO search_state (tenant, conversation_id, up_to)
SELECT tenant, id, last_position FROM conversations WHERE last_position > 0;

CREATE TABLE search_docs (
    doc INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    position INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX search_docs_event ON search_docs (tenant, conversation_id, position);

-- The conversation is one word of the index, so that a search reads nobody else's messages.
CREATE VIRTUAL TABLE search_words USING fts5(scope, words, content='', tokenize='unicode61');

CREATE TABLE profiles (
    tenant TEXT NOT NULL,
    identity TEXT NOT NULL,
    body BLOB NOT NULL, -- JSON
    etag TEXT NOT NULL, -- of the body
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, identity)
) STRICT, WITHOUT ROWID;

-- Where a conversation was copied from: a repeated request finds what the first one made.
CREATE TABLE forks (
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    source_id TEXT NOT NULL,
    up_to_event_id TEXT,
    PRIMARY KEY (tenant, conversation_id)
) STRICT, WITHOUT ROWID;

-- The conversation log. Every key begins with the tenant, then the conversation, so that a table
-- can be partitioned, or spread over several servers, by them. Texts compare byte by byte.

CREATE TABLE tokens (
    digest bytea PRIMARY KEY, -- sha256 of the secret; the secret is nowhere
    tenant text COLLATE "C" NOT NULL,
    token_id text COLLATE "C" NOT NULL,
    scope text NOT NULL,
    created_ms bigint NOT NULL,
    expires_ms bigint
);

-- Changed with every batch, and none of the indexed columns with it: room for HOT updates.
CREATE TABLE conversations (
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    session_number bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    last_position bigint NOT NULL DEFAULT 0,
    highest_fence bigint NOT NULL DEFAULT 0,
    floor_fence bigint NOT NULL DEFAULT 0, -- where the last clear lies among the fences
    revision bigint NOT NULL DEFAULT 0, -- +1 with every change of the conversation or its writers
    opened_by text COLLATE "C" NOT NULL, -- token_id
    created_ms bigint NOT NULL,
    updated_ms bigint NOT NULL,
    PRIMARY KEY (tenant, id)
) WITH (fillfactor = 50);
CREATE INDEX conversations_newest ON conversations (tenant, created_ms, id);
CREATE INDEX conversations_opened ON conversations (tenant, opened_by, created_ms, id);

-- The newest conversation of a key.
CREATE TABLE conversation_keys (
    tenant text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, key)
);

-- Session 0 begins with the conversation; each clear begins the next. Never pruned.
CREATE TABLE sessions (
    tenant text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    after_fence bigint NOT NULL,
    started_ms bigint NOT NULL,
    PRIMARY KEY (tenant, conversation_id, number)
);

CREATE TABLE writers (
    tenant text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    writer_id text COLLATE "C" NOT NULL,
    fence bigint NOT NULL,
    kind text NOT NULL,
    room text COLLATE "C",
    job_id text,
    started_ms bigint NOT NULL,
    registered_ms bigint NOT NULL,
    session_number bigint NOT NULL, -- open at its fence
    window_session bigint NOT NULL, -- the newest it has shown to know
    acknowledged bigint NOT NULL DEFAULT 0,
    ahead text NOT NULL DEFAULT '[]', -- runs of ordinals beyond a gap
    last_ordinal bigint NOT NULL DEFAULT 0, -- what the writer itself said
    lease_until_ms bigint NOT NULL DEFAULT 0,
    beats boolean NOT NULL DEFAULT false,
    ended_ms bigint,
    end_reason text,
    PRIMARY KEY (tenant, conversation_id, writer_id)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX writers_fence ON writers (tenant, conversation_id, fence);

-- What identifies an event. Outlives the event itself when it is pruned.
CREATE TABLE event_ids (
    tenant text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, conversation_id, event_id)
);

CREATE TABLE events (
    tenant text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    session_number bigint NOT NULL,
    writer_id text COLLATE "C" NOT NULL,
    fence bigint NOT NULL,
    ordinal bigint, -- none: made here at the end of a writer
    kind text COLLATE "C" NOT NULL,
    at_ms bigint NOT NULL,
    body bytea NOT NULL, -- JSON as sent, without what the columns hold
    PRIMARY KEY (tenant, conversation_id, position)
);

CREATE TABLE turns (
    tenant text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    writer_id text COLLATE "C" NOT NULL,
    turn_id text COLLATE "C" NOT NULL,
    session_number bigint NOT NULL,
    started_ordinal bigint, -- none: its start has not arrived
    ended boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, conversation_id, writer_id, turn_id)
);

-- The conversation order of messages: the key is the order.
CREATE TABLE messages (
    tenant text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    session_number bigint NOT NULL,
    fence bigint NOT NULL,
    turn_ordinal bigint NOT NULL,
    role_rank bigint NOT NULL,
    ordinal bigint NOT NULL,
    turn_id text COLLATE "C",
    position bigint NOT NULL,
    PRIMARY KEY (tenant, conversation_id, session_number, fence, turn_ordinal, role_rank, ordinal)
);

CREATE TABLE calls (
    tenant text COLLATE "C" NOT NULL,
    room text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    mode text NOT NULL,
    state text NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    detail text NOT NULL DEFAULT '',
    created_ms bigint NOT NULL,
    due_ms bigint NOT NULL,
    dispatch_id text,
    dispatched_ms bigint NOT NULL DEFAULT 0,
    people_seen_ms bigint NOT NULL DEFAULT 0,
    claimed_by text,
    claimed_until_ms bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, room)
);
CREATE INDEX calls_open ON calls (due_ms) WHERE state <> 'closed';
CREATE INDEX calls_conversation ON calls (tenant, conversation_id);

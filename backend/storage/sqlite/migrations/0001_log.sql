-- The conversation log. Every key begins with the tenant, then the conversation.

CREATE TABLE tokens (
    digest BLOB PRIMARY KEY, -- sha256 of the secret; the secret is nowhere
    tenant TEXT NOT NULL,
    token_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    key TEXT NOT NULL,
    session_number INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 0,
    last_position INTEGER NOT NULL DEFAULT 0,
    highest_fence INTEGER NOT NULL DEFAULT 0,
    floor_fence INTEGER NOT NULL DEFAULT 0, -- where the last clear lies among the fences
    opened_by TEXT NOT NULL, -- token_id
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversations_newest ON conversations (tenant, created_ms, id);

-- The newest conversation of a key.
CREATE TABLE conversation_keys (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

-- Session 0 begins with the conversation; each clear begins the next. Never pruned.
CREATE TABLE sessions (
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    after_fence INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE writers (
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    writer_id TEXT NOT NULL,
    fence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    room TEXT,
    job_id TEXT,
    started_ms INTEGER NOT NULL,
    registered_ms INTEGER NOT NULL,
    session_number INTEGER NOT NULL, -- open at its fence
    window_session INTEGER NOT NULL, -- the newest it has shown to know
    acknowledged INTEGER NOT NULL DEFAULT 0,
    ahead TEXT NOT NULL DEFAULT '[]', -- runs of ordinals beyond a gap
    last_ordinal INTEGER NOT NULL DEFAULT 0, -- what the writer itself said
    lease_until_ms INTEGER NOT NULL DEFAULT 0,
    beats INTEGER NOT NULL DEFAULT 0,
    ended_ms INTEGER,
    end_reason TEXT,
    PRIMARY KEY (tenant, conversation_id, writer_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX writers_fence ON writers (tenant, conversation_id, fence);

-- What identifies an event. Outlives the event itself when it is pruned.
CREATE TABLE event_ids (
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation_id, event_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    session_number INTEGER NOT NULL,
    writer_id TEXT NOT NULL,
    fence INTEGER NOT NULL,
    ordinal INTEGER, -- none: made here at the end of a writer
    kind TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    body BLOB NOT NULL, -- JSON as sent, without what the columns hold
    PRIMARY KEY (tenant, conversation_id, position)
) STRICT;

CREATE TABLE turns (
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    writer_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    session_number INTEGER NOT NULL,
    started_ordinal INTEGER, -- none: its start has not arrived
    ended INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, conversation_id, writer_id, turn_id)
) STRICT, WITHOUT ROWID;

-- The conversation order of messages: the key is the order.
CREATE TABLE messages (
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    session_number INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    turn_ordinal INTEGER NOT NULL,
    role_rank INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    turn_id TEXT,
    position INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation_id, session_number, fence, turn_ordinal, role_rank, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE calls (
    tenant TEXT NOT NULL,
    room TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    detail TEXT NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    dispatch_id TEXT,
    dispatched_ms INTEGER NOT NULL DEFAULT 0,
    people_seen_ms INTEGER NOT NULL DEFAULT 0,
    claimed_by TEXT,
    claimed_until_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, room)
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_open ON calls (due_ms) WHERE state <> 'closed';
CREATE INDEX calls_conversation ON calls (tenant, conversation_id);

-- The index anew, filled again from the log: each word is kept under its conversation's number, so
-- that a search, also one for beginnings of words, reads nobody else's; a message's row follows
-- from number and position, so that nothing has to be looked up. Counts and places of words are
-- left out: the texts of what was found are read anyway.

CREATE TABLE search_places (
    number INTEGER PRIMARY KEY, -- the conversation, as the index knows it
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    up_to INTEGER NOT NULL, -- position of the newest message
    indexed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant, conversation_id)
) STRICT;
INSERT INTO search_places (tenant, conversation_id, up_to)
SELECT tenant, conversation_id, up_to FROM search_state;
DROP TABLE search_state;
ALTER TABLE search_places RENAME TO search_state;
CREATE INDEX search_waiting ON search_state (number) WHERE up_to > indexed;

DROP TABLE search_docs;
DROP TABLE search_words;
-- words_of has split and folded the words: bytes are compared as they are.
CREATE VIRTUAL TABLE search_words USING fts5(
    words, content='', detail='none', columnsize=0, tokenize="ascii tokenchars '_'"
);

-- The index anew, filled again from the log: each word is kept under its conversation's mark, so
-- that a search, also one for beginnings of words, reads nobody else's. Places of words are left
-- out: the texts of what was found are read anyway.
TRUNCATE search_docs;
UPDATE search_state SET indexed = 0;

-- Retention: everything up to here has been pruned, but for what is kept for good.
ALTER TABLE conversations ADD COLUMN pruned_position INTEGER NOT NULL DEFAULT 0;

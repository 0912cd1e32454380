-- Writers that have not ended: few, whatever the age of the log. The sweep looks at no others.
CREATE INDEX writers_open ON writers (tenant, conversation_id, writer_id) WHERE ended_ms IS NULL;

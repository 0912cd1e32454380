"""What an operator sees: logs (fields, personal content off), metrics across job processes."""

"""Time, tasks and retries: the only package that touches the clock or starts a task.

Parts: clock, backoff, breaker, supervisor, children (child processes that are kept alive),
pauses (the whole process stood still).
"""

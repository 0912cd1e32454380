"""The conversation log in pure words: no clock, no I/O, no logging.

Parts in order: ids, errors, events, conversation (what the model sees), turns (what belongs
together).
"""

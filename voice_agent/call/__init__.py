"""One call in domain words; LiveKit's types stop at room/.

Parts: recorder (what happened becomes events), opening (greet, brief or go on), call (the life of a
call from load to end), ports (what a call needs of others).
"""

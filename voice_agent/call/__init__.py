"""One call in domain words; LiveKit's types stop at room/.

Parts: enrolment (which conversation, under which fence, whether alone), opening (greet, brief or go
on), recorder (what happened becomes events), summaries (what a trim left behind), assurance (what a
reply waits for), sharing (what other pods are given), person (what is known of who calls), call
(from load to end), ports (what a call needs of others).
"""

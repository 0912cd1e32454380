"""What tests share.

- waiting: wait for something to hold, with a deadline
- guards: what fails any test (leaks, blocking calls, sockets off loopback)
- servers: the real servers as fixtures
"""

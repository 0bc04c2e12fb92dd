"""What every service process of the exchange is built on: the gRPC edge, the ledger's pool, events.

It knows nothing of documents or certificates' lives: the exchange centre and the authority each
bring their own policy, queries and methods.
"""

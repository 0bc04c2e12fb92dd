"""The certificate authority of the exchange: it issues, revokes and keeps a journal of both."""

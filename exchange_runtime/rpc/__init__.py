"""The gRPC edge: credentials, who is calling, and the one interceptor."""

"""The gRPC edge: credentials, the one interceptor, and servicers that decode, step and encode."""

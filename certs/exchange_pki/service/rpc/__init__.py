"""The gRPC edge of the authority: interceptors and servicers (decode -> step -> encode)."""

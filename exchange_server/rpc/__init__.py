"""The gRPC edge: servicers that decode a request, take the step and encode its answer."""

"""The authority as a service: enrolment, renewal and revocation over gRPC, CRLs over HTTP."""

"""What RQ calls, one module a domain."""

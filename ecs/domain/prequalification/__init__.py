"""Instant loan prequalification: a PAN, an application, a bureau's score, a decision."""

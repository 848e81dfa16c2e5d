"""The Empathic Credit System: decides about credit, explains it, and keeps its word."""

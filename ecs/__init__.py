"""The Empathic Credit System: decides about credit, explains it, and keeps its word."""

from typing import Final

VERSION: Final = "0.1.0"

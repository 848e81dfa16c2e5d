"""Links of the API's description: which answer says what to ask next."""

from typing import Any


def link(method: str, path: str, **fields: str) -> dict[str, Any]:
    """
    Return a link to the operation ``method`` of ``path``.

    ``fields`` name, for each parameter there, the field of the answer here that it takes.
    """
    escaped = path.replace("~", "~0").replace("/", "~1")
    return {
        "operationRef": f"#/paths/{escaped}/{method}",
        "parameters": {name: f"$response.body#/{field}" for name, field in fields.items()},
    }

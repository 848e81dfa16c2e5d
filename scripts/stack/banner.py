"""What the newcomer reads once everything runs: the address, the logins, three commands."""

import json
from pathlib import Path
from typing import Any, Final

LAST_WORDS: Final = "The README goes on from here."
CURL: Final = "curl --noproxy '*' -s"


def banner(url: str, public: Path) -> str:
    """Return the words for a stack at ``url`` whose demo logins lie in ``public``."""
    demo = _demo(public / "demo.json")
    people = demo.get("users", [])
    logins = [f"    {item['email']:<34}{item['password']:<28}{item['persona']}" for item in people]
    user = people[0] if people else {"email": "EMAIL", "password": "PASSWORD"}
    return "\n".join(
        [
            "",
            f"The Empathic Credit System is ready:  {url}   (look around: {url}/docs)",
            "",
            *(["Demo logins (.stack/demo.json):", *logins, ""] if logins else []),
            "Three commands to try:",
            "",
            *_commands(url, user),
            "",
            "Mail goes nowhere: it lies in .stack/mail, a file each.",
            "",
            LAST_WORDS,
        ]
    )


def _commands(url: str, user: dict[str, str]) -> list[str]:
    read = """python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])'"""
    bearer = '-H "Authorization: Bearer $TOKEN"'
    login = f"-d 'username={user['email']}' --data-urlencode 'password={user['password']}'"
    return [
        f"    TOKEN=$({CURL} {url}/token -d grant_type=password {login} | {read})",
        f"    {CURL} -X POST {url}/api/v1/credit/apply {bearer}",
        f"    {CURL} {url}/api/v1/credit/offers {bearer}",
    ]


def _demo(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}

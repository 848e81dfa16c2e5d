"""Hostile inputs as data, and the small readers that turn them into bytes and tokens."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """What a forger who stole nothing but the key would know."""

    secret: str
    kid: str
    issuer: str
    audience: str
    subject: str
    now: int


def hostile_json() -> dict[str, bytes]:
    """Return bodies by name, none of which is JSON that everybody reads alike."""
    return {case["name"]: _body(case) for case in _read("hostile_json.json")}


def odd_json() -> dict[str, bytes]:
    """Return bodies by name that are JSON but fit no schema of ours."""
    return {case["name"]: _body(case) for case in _read("odd_json.json")}


def bad_tokens(issuer: Issuer) -> dict[str, str]:
    """Return tokens by name, every one of which must be refused."""
    return {case["name"]: _token(case, issuer) for case in _read("bad_tokens.json")}


def odd_ids() -> dict[str, str]:
    """Return what no id, cursor or number of ours looks like, by name, encoded for an address."""
    return {case["name"]: _segment(case) for case in _read("odd_ids.json")}


def pan_variants() -> dict[str, tuple[str, str | None]]:
    """
    Return spellings of tax numbers by name, each with its one canonical form, or None: refused.

    Canonical is what NFKC and trimming make of it, in upper case, provided that it is ASCII by then
    and has the form of a number.
    """
    return {case["name"]: (case["text"], case["canonical"]) for case in _read("pan_variants.json")}


def good_claims(issuer: Issuer) -> dict[str, Any]:
    """Return the claims that the bad tokens differ from."""
    return {
        "iss": issuer.issuer,
        "aud": issuer.audience,
        "sub": issuer.subject,
        "jti": "01890000-0000-7000-8000-000000000001",
        "kind": "user",
        "scope": "credit:apply offers:read",
        "tv": 0,
        "iat": issuer.now - 10,
        "nbf": issuer.now - 10,
        "exp": issuer.now + 600,
    }


def signed(issuer: Issuer, header: str, claims: str, *, secret: str | None = None) -> str:
    """Return a token over these very texts."""
    signing_input = f"{encoded(header.encode())}.{encoded(claims.encode())}"
    key = (issuer.secret if secret is None else secret).encode()
    return f"{signing_input}.{encoded(hmac.digest(key, signing_input.encode(), hashlib.sha256))}"


def encoded(raw: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _read(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((HERE / name).read_text(encoding="utf-8"))
    return cases


def _body(case: dict[str, Any]) -> bytes:
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    if "repeat" in case:
        opening, middle, closing = (str(part) for part in case["repeat"])
        times = int(case["times"])
        return (opening * times + middle + closing * times).encode()
    return str(case["text"]).encode()


def _segment(case: dict[str, Any]) -> str:
    return (
        str(case["raw"]) if "raw" in case else quote(case["text"] * case.get("times", 1), safe="")
    )


def _token(case: dict[str, Any], issuer: Issuer) -> str:
    header = {"alg": "HS256", "typ": "at+jwt", "kid": issuer.kid} | case.get("header", {})
    claims = good_claims(issuer) | case.get("claims", {})
    claims |= {name: issuer.now + offset for name, offset in case.get("from_now", {}).items()}
    for name in case.get("drop", []):
        claims.pop(name, None)
        header.pop(name, None)
    header_text = _text(case, "raw_header", json.dumps(header))
    claims_text = _text(case, "raw_claims", json.dumps(claims))
    claims_text = claims_text[:-1] + case.get("claims_suffix", "") + claims_text[-1:]
    token = signed(issuer, header_text, claims_text, secret=case.get("secret"))
    return _deformed(token, case)


def _text(case: dict[str, Any], name: str, default: str) -> str:
    value = case.get(name, default)
    return value["text"] * value["times"] if isinstance(value, dict) else str(value)


def _deformed(token: str, case: dict[str, Any]) -> str:
    head, body, signature = token.split(".")
    parts = {"header": head, "claims": body, "signature": signature, "token": token}
    parts["signature_next"] = signature[:-1] + _same_bits(signature[-1])
    parts["signature_other"] = ("B" if signature[0] == "A" else "A") + signature[1:]
    return str(case.get("form", "{token}")).format(**parts)


def _same_bits(last: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(last) ^ 1]

"""The Content-Type header, read in one place for JSON and for forms."""

from email.message import Message


def media_type_of(header: str) -> tuple[str, str]:
    """Return the media type and the charset (UTF-8 unless named), both in lower case."""
    message = Message()
    message["content-type"] = header or "application/octet-stream"
    charset = message.get_param("charset", "utf-8")
    # A charset in the extended form of RFC 2231 is three texts, and none that we know.
    return message.get_content_type(), charset.lower() if isinstance(charset, str) else ""

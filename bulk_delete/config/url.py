"""The base URL of the API: https, unless the host is this machine."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_base_url(value: object) -> str:
    """Check a base URL; write its scheme small, cut its last slashes. Raises ValueError."""
    if not isinstance(value, str) or " " in value or not value.isprintable():
        raise ValueError("give a URL, as https://api.cekura.ai")
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("give a URL, as https://api.cekura.ai")
    if parts.username is not None or "?" in value or "#" in value:
        raise ValueError("leave user, query and fragment out of the URL")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("the key would travel unencrypted: use https (http is for loopback only)")
    _ = parts.port  # raises ValueError when it is no port
    return parts.scheme + value[len(parts.scheme) :].rstrip("/")

"""Which proxy stands between, by the usual variables."""

from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from yarl import URL

from bulk_delete.config import is_loopback
from bulk_delete.errors import InvalidInput


def proxy_for(base_url: str, proxies: dict[str, str]) -> URL | None:
    """Choose the proxy for a base URL; none for this machine. Raises InvalidInput."""
    parts = urlsplit(base_url)
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    variable = f"{parts.scheme.upper()}_PROXY"
    try:
        url = URL(proxy if "://" in proxy else f"http://{proxy}")
        _ = url.port  # raises ValueError when it is no port
    except ValueError:
        raise InvalidInput(f"{variable}: this is no URL; give http://host:port") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidInput(f"{variable}: a proxy must be http://host:port or https://host:port")
    return url

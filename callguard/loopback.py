"""Whether an address is this machine itself, where nobody listens on the way. Pure."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Of a host as an address names it: a loopback address, or ``localhost``."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

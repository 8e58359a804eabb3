"""Which network addresses a stranger's URL may lead to: public ones, and nothing that merely wraps one.

`ipaddress.is_global` alone is not enough: it takes NAT64 (64:ff9b::/96) and multicast for global,
and in older Pythons 6to4 too.
"""

from __future__ import annotations

import ipaddress

# Special blocks inside the otherwise public ranges. Everything that carries an IPv4 address inside an IPv6 one
# (mapped, NAT64, 6to4, Teredo) is refused whole: what it leads to is decided by someone else's gateway.
_REFUSED_V4 = [ipaddress.IPv4Network(block) for block in ("192.0.0.0/24", "192.88.99.0/24")]
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")  # the only range that is handed out for public use
_REFUSED_V6 = [ipaddress.IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]


def is_ipv6(text: str) -> bool:
    """Whether `text` is an IPv6 address without a zone (`%eth0`: a zone never leads to a public address)."""
    try:
        return ipaddress.IPv6Address(text).scope_id is None
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Whether `address` (text, as a resolver answers it) is a public unicast address that may be connected to."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if parsed.is_multicast or parsed.is_reserved or not parsed.is_global:
        return False
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in block for block in _REFUSED_V4)
    return parsed.scope_id is None and parsed in _PUBLIC_V6 and not any(parsed in block for block in _REFUSED_V6)

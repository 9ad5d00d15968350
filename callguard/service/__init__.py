"""The composition root: what builds every room, starts, supervises and stops them."""

from callguard.service.errors import ServiceError
from callguard.service.running import Service, serve

__all__ = ["Service", "ServiceError", "serve"]

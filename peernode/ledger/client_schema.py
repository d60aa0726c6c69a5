"""Tables of clients: their keys, the requests that keys paid for, and what was used by day.

``client_keys`` changes as the operator wills. A row of ``client_requests`` is written with the hold of its request;
``parts`` and ``charged`` grow with its receipts, ``fee_ppm`` is the node's own share of it. ``client_days`` is a
projection of the same receipts.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table

from peernode.ledger.schema import metadata

# Lists of models and dialects are kept as JSON. Times are Unix milliseconds, credits micro-credits.
client_keys = Table(
    "client_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("name", String(200), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger, nullable=True),
    Column("expires_ms", BigInteger, nullable=True),
    Column("unlimited", Boolean, nullable=False),
    Column("day_cap", BigInteger, nullable=True),
    Column("month_cap", BigInteger, nullable=True),
    Column("requests_per_minute", Integer, nullable=True),
    Column("tokens_per_minute", Integer, nullable=True),
    Column("models", String(8192), nullable=False),
    Column("dialects", String(256), nullable=False),
    Index("client_keys_by_name", "name"),
)

client_requests = Table(
    "client_requests",
    metadata,
    Column("request_id", String(128), primary_key=True),
    Column("key_id", String(16), nullable=False),
    Column("node", String(64), nullable=False),
    Column("model", String(256), nullable=False),
    Column("dialect", String(16), nullable=False),
    Column("streamed", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("charged", BigInteger, nullable=False),
    Column("fee_ppm", Integer, nullable=False, server_default="0"),
    Index("client_requests_by_key", "key_id", "at_ms"),
)

# ``scope`` is "total" or "each": what all keys, or one key, may be granted at most. No row, no limit.
credit_supply = Table(
    "credit_supply",
    metadata,
    Column("scope", String(16), primary_key=True),
    Column("most", BigInteger, nullable=False),
)

client_days = Table(
    "client_days",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("model", String(256), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("credits", BigInteger, nullable=False),
)

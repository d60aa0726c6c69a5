"""``Idempotency-Key``: a request that is sent again with the same key neither runs nor costs twice.

While the first one runs the second hears what it says, from its beginning; afterwards it gets the same answer, from
memory, for a while. See draft-ietf-httpapi-idempotency-key-header.
"""

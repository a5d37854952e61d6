"""Start, loop, shutdown; what is joined to what; systemd; restart.

No rule about jobs or rainbow lives here: it calls the folders below.
"""

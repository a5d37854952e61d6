"""The client of rainbow over gRPC.

The only folder, with scheduler_server, that imports grpc; replies and status codes become the
agent's values and errors here.
"""

"""Generated from the .proto files beside it; see CONTRIBUTING.md for the command."""

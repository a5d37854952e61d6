"""The name of an embedded server up to 0.1, kept a release."""

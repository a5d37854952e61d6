"""Names of the embedded servers up to 0.1, kept a release."""

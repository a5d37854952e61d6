"""What tests share: fakes, servers, oracles, programs. Nothing of the product imports it."""

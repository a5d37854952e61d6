"""rainbow-compspec: from this hardware to node JSON and cluster graphs."""

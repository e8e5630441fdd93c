"""Parts of bench/peers.py: midlayer-server beside its peers."""

"""What can be built: skeletons, search spaces, architectures, published networks. No torch here."""

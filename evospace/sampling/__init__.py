"""Drawing architectures: from gates, and exactly from a cost window. No torch here."""

"""One text -> what it says: features, the trained head, the out-of-domain score."""

"""What was measured of an adapter, the rule that it must meet, and whether it does. No I/O."""

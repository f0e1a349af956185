"""The life of adapters at run time: tiers, slots, loading off the engine thread, the budget."""

"""Exemplars -> weights: what ``ailiance router fit`` does. Serving never imports it."""

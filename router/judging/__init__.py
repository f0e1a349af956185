"""Weights -> figures: what ``ailiance router eval`` does. Serving never imports it."""

from router.judging.evaluation import Evaluation, evaluate
from router.judging.hard import HardInput, hard_inputs
from router.judging.quality import Classifies, Quality, measure
from router.judging.replay import Replay, conversations
from router.judging.robustness import Typos, typos
from router.judging.speed import Timing, latency

__all__ = [
    "Classifies",
    "Evaluation",
    "HardInput",
    "Quality",
    "Replay",
    "Timing",
    "Typos",
    "conversations",
    "evaluate",
    "hard_inputs",
    "latency",
    "measure",
    "typos",
]

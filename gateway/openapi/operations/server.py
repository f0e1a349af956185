"""Health, metrics, and the document itself."""

from gateway.exposition import CONTENT_TYPE
from gateway.openapi import examples, facts
from gateway.openapi.operation import JSON, Answer, Content, Operation
from gateway.openapi.operations.shapes import TEXT, json_of


def server() -> list[Operation]:
    """The entries of this subject."""
    text = "Ready only while every worker is."
    return [
        Operation(
            "get",
            "/health",
            "getHealth",
            "Server",
            "Is every worker ready?",
            (
                Answer("All are.", (json_of(facts.Health, examples.HEALTHY),)),
                Answer("Not all are.", (json_of(facts.Health, examples.STARTING),), status=503),
            ),
            (500,),
            text,
            parameters=("x-request-id",),
        ),
        Operation(
            "head",
            "/health",
            "probeHealth",
            "Server",
            "The same without a body",
            (Answer("All are."), Answer("Not all are.", status=503)),
            description=text,
            parameters=("x-request-id",),
        ),
        Operation(
            "get",
            "/metrics",
            "getMetrics",
            "Server",
            "Metrics for Prometheus",
            (Answer("The gateway's and its workers'.", (Content(CONTENT_TYPE, TEXT),)),),
            (500,),
            parameters=("x-request-id",),
        ),
        Operation(
            "get",
            "/openapi.json",
            "getDocument",
            "Server",
            "This document",
            (Answer("OpenAPI 3.1.", (Content(JSON, {"type": "object"}),)),),
            (500,),
            parameters=("x-request-id",),
        ),
        Operation(
            "get",
            "/docs",
            "getPage",
            "Server",
            "This document as a page",
            (
                Answer(
                    "One file, which loads nothing.",
                    (Content("text/html", TEXT),),
                    ("content-security-policy",),
                ),
            ),
            (500,),
            parameters=("x-request-id",),
        ),
    ]

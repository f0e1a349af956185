"""Administration of adapters."""

from gateway.admin.requests import LoadAdapterRequest, UnloadAdapterRequest
from gateway.openapi import examples, facts
from gateway.openapi.operation import Answer, Body, Content, Operation, Served
from gateway.openapi.operations.shapes import TEXT, json_of


def adapters(served: Served) -> list[Operation]:
    """The entries of this subject."""

    def said(text: str) -> Content:
        return Content("text/plain", TEXT, text)

    return [
        Operation(
            "post",
            "/v1/load_lora_adapter",
            "loadAdapter",
            "Adapters",
            "Load or replace an adapter",
            (Answer("It is served.", (said(examples.ADDED),)),),
            (400, 401, 403, 413, 500, 502, 503),
            "The worker proves it first: shapes, finite numbers, an effect on the base. What is "
            "refused changes nothing (code `InvalidUserInput`). Kept over restarts.",
            Body((LoadAdapterRequest,), examples.load_adapter(served)),
            ("x-request-id",),
        ),
        Operation(
            "post",
            "/v1/unload_lora_adapter",
            "unloadAdapter",
            "Adapters",
            "Unload an adapter that was loaded at run time",
            (Answer("Its name is gone.", (said(examples.REMOVED),)),),
            (400, 401, 403, 404, 413, 500),
            "Requests in flight end. Adapters of the fleet file are removed there (400 here).",
            Body((UnloadAdapterRequest,), examples.unload_adapter()),
            ("x-request-id",),
        ),
        Operation(
            "get",
            "/v1/adapters",
            "listAdapters",
            "Adapters",
            "List the adapters and where they are",
            (Answer("All of them.", (json_of(facts.AdapterList, examples.ADAPTERS),)),),
            (400, 401, 403, 500, 502, 503),
            parameters=("check", "x-request-id"),
        ),
    ]

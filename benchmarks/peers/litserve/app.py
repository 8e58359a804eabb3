"""LitServe: a worker process a core, as many API servers, its fast queue, and batches where RACE_BATCH says so."""

from typing import Annotated, Any

import litserve
from fastapi import Body

from benchmarks.peers import engine

BATCH_SECONDS = 0.01  # what its guide waits for a batch


class Api(litserve.LitAPI):  # type: ignore[misc]
    """The engine in LitServe's steps."""

    def setup(self, _: str) -> None:
        """In each worker."""
        self.engine = engine.load(engine.settings())

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> Any:
        """Its input."""
        return self.engine.decode(request)

    def batch(self, inputs: list[Any]) -> list[Any]:
        """As it is: the engine stacks."""
        return inputs

    def predict(self, inputs: Any) -> Any:
        """Logits [classes] of one input, or [n, classes] of a list of them."""
        many = isinstance(inputs, list)
        found = self.engine.infer(inputs if many else [inputs])
        return found if many else found[0]

    def unbatch(self, output: Any) -> Any:
        """A row each."""
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The likeliest classes."""
        return engine.answers(output[None])[0]


if __name__ == "__main__":
    wanted = engine.settings()
    batches = {"max_batch_size": wanted.batch, "batch_timeout": BATCH_SECONDS} if wanted.batch > 1 else {}
    server = litserve.LitServer(
        Api(api_path="/invocations", **batches),
        accelerator="cpu",
        workers_per_device=wanted.workers,
        fast_queue=True,
    )
    server.run(
        port=wanted.port,
        num_api_servers=wanted.workers,
        generate_client_file=False,
        access_log=False,
        log_level="error",
    )

"""The times of whole queries: from the bytes of a photograph to an embedding, and of the parts between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prunnet_export.preprocessing import Preprocessing
from prunnet_export.runtimes import Batch, Session

MS = 1e-6  # milliseconds in a nanosecond


@dataclass(frozen=True)
class QueryTime:
    """Milliseconds of one query. The last three add up to ``whole``, but for a few microseconds.

    Attributes:
        whole: From the bytes of the photographs to the embeddings.
        decode: From the bytes to pixels.
        resize: From there to the network's input: turning, converting, resizing, cropping, and the batch.
        network: The inference.
    """

    whole: float
    decode: float
    resize: float
    network: float


@dataclass(frozen=True)
class QueryTimer:
    """Times queries as :func:`prunnet_export.load` makes them: each photograph of a batch is decoded and preprocessed.

    Attributes:
        session: The loaded model.
        preprocessing: How a photograph becomes an input.
        photo: The bytes of the photograph. A batch is of as many copies: no step remembers what it saw before.
        batch_size: Images per inference.
    """

    session: Session
    preprocessing: Preprocessing
    photo: bytes
    batch_size: int

    def times(self) -> Iterator[QueryTime]:
        """The time of one query after the other, without an end."""
        while True:
            yield self._time_one()

    def _time_one(self) -> QueryTime:
        clock, steps, decode, inputs = time.perf_counter_ns, self.preprocessing, 0, []
        begin = clock()
        for _ in range(self.batch_size):
            start = clock()
            loaded = steps.loaded(self.photo, name="the photograph")
            decode += clock() - start
            inputs.append(steps.input(loaded, name="the photograph"))
        batch: Batch = np.stack(inputs)
        ready = clock()
        self.session.run(batch)
        end = clock()
        parts = (end - begin, decode, ready - begin - decode, end - ready)
        return QueryTime(*(max(1, nanoseconds) * MS for nanoseconds in parts))

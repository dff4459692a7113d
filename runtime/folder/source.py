"""The first stage: files become events. Each decoder is a process of its own; several work side by side."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from nafnet.errors import DecodingError
from nafnet.images.header import Header
from nafnet.runtime.engine.events import Band, Closed, Event
from nafnet.runtime.folder.byte_queue import ByteQueue, size_of
from nafnet.runtime.folder.decoding import Decoder, DecoderStopped
from nafnet.runtime.folder.item import FileItem
from nafnet.runtime.folder.memory import QUEUE_BYTES
from nafnet.runtime.folder.photograph import PhotographItem
from nafnet.runtime.folder.settings import Encoding, Limits

IsWanted = Callable[[PhotographItem, FileItem, Decoder], bool]


class Source:
    """The events of all photographs, in their order, decoded by several threads, each with a process.

    Args:
        items: what to read.
        workers: files decoded at once; or a decoder, which is used for all and stays open.
        limits: what one of them may take.
        encoding: how results are written, which decides the pixels that are asked for.
        is_wanted: whether a file is to be made of a photograph at all; it may ask the decoder for that one's hash.
        check: of a file's header, raises an error where it cannot be restored here.
    """

    def __init__(
        self, items: Sequence[PhotographItem], workers: int | Decoder, limits: Limits, encoding: Encoding,
        is_wanted: IsWanted, check: Callable[[Header], None],
    ) -> None:  # fmt: skip
        self._items, self._encoding, self._is_wanted, self._check = items, encoding, is_wanted, check
        self.fatal: DecodingError | None = None
        """Why no file can be decoded; no event comes after it."""
        self._is_lent = isinstance(workers, Decoder)
        self._is_whole = False
        made = [Decoder(limits) for _ in range(min(workers, len(items)))] if isinstance(workers, int) else [workers]
        count = len(made)
        self._queues: list[ByteQueue[Event[PhotographItem]]] = [
            ByteQueue(QUEUE_BYTES // count, size_of) for _ in range(count)
        ]
        self._decoders = made
        self._threads = [
            threading.Thread(target=self._decode, args=(index,), name=f"decode-{index}", daemon=True)
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Event[PhotographItem]]:
        streams = [iter(queue) for queue in self._queues]
        for index in range(len(self._items)):
            for event in streams[index % len(streams)]:
                yield event
                if isinstance(event, Closed):
                    break
        self._is_whole = True

    def close(self) -> None:
        """Stop decoding, and wait for the processes to be gone."""
        for queue in self._queues:
            queue.close(discard=True)
        if not self._is_whole:  # else they are at their end
            for decoder in self._decoders:
                decoder.stop()
        for thread in self._threads:
            thread.join()

    def _decode(self, index: int) -> None:
        """Decode every n-th item into the queue of that index."""
        target, decoder = self._queues[index], self._decoders[index]
        try:
            self._decode_all(target, decoder, self._items[index :: len(self._queues)])
        except DecoderStopped:
            pass
        except _Unusable as stop:
            self.fatal = self.fatal or stop.error
            for queue in self._queues:
                queue.close(discard=True)

    def _decode_all(
        self, target: ByteQueue[Event[PhotographItem]], decoder: Decoder, items: Sequence[PhotographItem]
    ) -> None:  # fmt: skip
        with contextlib.nullcontext() if self._is_lent else decoder:
            for item in items:
                for event in self._events(item, decoder):
                    if not target.put(event):
                        return

    def _events(self, item: PhotographItem, decoder: Decoder) -> Iterator[Event[PhotographItem]]:
        item.begin()
        item.wanted = [file for file in item.files if self._is_to_be_made(item, file, decoder)]
        with item.guarded(_leave_at_once):
            if item.wanted:
                started = time.perf_counter()
                with contextlib.closing(decoder.decode(item.source)) as parts:
                    for part in parts:
                        item.decoded_in(time.perf_counter() - started)
                        if isinstance(part, Header):
                            self._check(part)
                            yield item.opened(part, self._encoding)
                        else:
                            yield Band(item, part)
                        if not item.under_way:
                            break
                        started = time.perf_counter()
                if decoder.damage:
                    item.note(f"damaged: {decoder.damage}")
        yield Closed(item)

    def _is_to_be_made(self, item: PhotographItem, file: FileItem, decoder: Decoder) -> bool:
        with file.guarded(_leave_at_once):
            return file.under_way and self._is_wanted(item, file, decoder)
        return False


class _Unusable(BaseException):
    """No file can be decoded: no error of the file at hand."""

    def __init__(self, error: DecodingError) -> None:
        super().__init__(str(error))
        self.error = error


def _leave_at_once(error: Exception) -> None:
    if isinstance(error, DecodingError):
        raise _Unusable(error) from error

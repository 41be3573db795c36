"""Reports to Tallygate what a program uses of AI providers that it calls directly.

Copy this file into a project. It needs Python 3.9 or newer, and nothing else::

    from tallygate_client import Tallygate

    tg = Tallygate("http://127.0.0.1:8787", key="tg_...")

    with tg.call(provider="openai", model="gpt-4o-mini", tool="helpdesk", operation="summarize") as call:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
        call.usage_of(answer)

Calls that go through Tallygate are metered there already: do not report them a second time.

* **It never breaks the program.** Only a wrong argument of ``Tallygate(...)`` raises. Whatever goes wrong later is logged
  by the logger ``tallygate``, told to ``on_fault``, and counted in ``totals``.
* **It never holds the program up.** Records wait in a bounded queue, and a thread of its own sends them in batches. What
  finds the queue full is dropped, counted and told.
* **It never counts twice.** Each record has its idempotency key from the moment it is made. A batch whose answer was lost
  is sent again under the same keys, for as long as it takes, ever more seldom.

The fields of a record are those of ``POST /v1/usage``: see docs/integration.md.
"""

from __future__ import annotations

import atexit
import inspect
import json
import logging
import os
import random
import threading
import time
import urllib.error
import urllib.request
import uuid
import weakref
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from decimal import Decimal
from types import TracebackType
from typing import Any, Callable, Deque, Dict, Iterator, List, Mapping, Optional, Tuple, Type

__all__ = ["Call", "Fault", "Hold", "Tallygate", "Totals"]

log = logging.getLogger("tallygate")

#: Tallygate takes at most 1,000 records at once, and 2 MiB.
BATCH_SIZE_MAX = 1_000
BATCH_BYTES_MAX = 1_000_000
#: Answers after which the same batch is sent again. Every other refusal is final.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Parts of an OpenAI-style client whose answers have a usage.
METERED = frozenset({"completions", "responses", "embeddings", "messages"})
TOKEN_CLASSES = ("input_uncached_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")


@dataclass(frozen=True)
class Fault:
    """Something went wrong that the program need not care about, but somebody should.

    ``kind`` is ``queue_full`` (records were dropped), ``refused`` (Tallygate will not book them), ``unavailable``
    (Tallygate cannot be asked; records wait), ``unsent`` (the program ended before they could be sent), ``no_usage``
    (nothing said what a call used, so it was not reported) or ``internal``.
    """

    kind: str
    message: str
    #: How many records are concerned.
    records: int = 0


@dataclass(frozen=True)
class Totals:
    """What this client has reported since it was made. ``over_limit`` has the latest news of each limit, by its id."""

    #: Records that Tallygate has booked.
    records: int = 0
    #: Tokens of those records, input and output.
    tokens: int = 0
    #: What they cost in dollars, as Tallygate booked it. What has no price is not in it.
    cost_usd: Decimal = Decimal(0)
    #: Records among them that have no price.
    unpriced: int = 0
    #: Records that Tallygate refused.
    refused: int = 0
    #: Records that were given up: the queue was full, or the program ended.
    dropped: int = 0
    #: Limits that have used more than their cap: what ``over_limit`` of ``POST /v1/usage`` says.
    over_limit: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Hold:
    """Room that is held for a call to come; give it to ``tg.call(hold=...)``, which ends it.

    ``state`` is ``granted``, ``refused`` or ``unavailable``. Where Tallygate cannot be asked, it is the program that
    decides: ``if hold.refused`` goes on then, ``if not hold.granted`` does not.
    """

    state: str
    id: Optional[str] = None
    #: Why there is none: the limit, what is used, and when it resets.
    reason: str = ""

    @property
    def granted(self) -> bool:
        return self.state == "granted"

    @property
    def refused(self) -> bool:
        return self.state == "refused"


class Call:
    """One call to a provider, as a ``with`` block. It is reported when the block ends, also by an exception."""

    def __init__(self, client: Tallygate, fields: Mapping[str, Any]) -> None:
        self._client = client
        self._fields: Dict[str, Any] = dict(fields)
        self._time = datetime.now(timezone.utc)
        self._started = time.perf_counter()

    def usage(self, **fields: Any) -> None:
        """Says what was used (``input_tokens``, ``output_tokens``, ``units``, ``cost_usd``...), or any other field.

        A field that is said again takes the place of what was said before.
        """
        self._fields.update(fields)

    def usage_of(self, answer: Any) -> None:
        """Reads usage and model out of an answer, an event or a chunk of OpenAI's or Anthropic's SDK."""
        try:
            self._fields.update(read_usage(answer))
        except Exception as error:  # An answer may be any object, and its attributes may do anything.
            self._client._tell(Fault("internal", f"the usage of an answer cannot be read: {error!r}"))

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        # Returning nothing lets the program's own exception go on its way.
        self._end(error)

    def _end(self, error: Optional[BaseException]) -> None:
        duration_ms = round((time.perf_counter() - self._started) * 1_000)
        ending: Dict[str, Any] = {"time": self._time.isoformat(timespec="milliseconds"), "duration_ms": duration_ms}
        if error is not None:
            # Ctrl-C, a cancelled task and a closed generator are not failures of the call.
            ending["outcome"] = "error" if isinstance(error, Exception) else "aborted"
            ending["error"] = type(error).__name__[:100]
        self._client.report(**{**ending, **self._fields})


class Tallygate:
    """Reports usage with one virtual key. One is enough for a program; all methods may be used from any thread.

    :param base_url: of Tallygate, without ``/v1``; by default ``TALLYGATE_URL`` of the environment
    :param key: a virtual key, ``tg_...``; by default ``TALLYGATE_KEY`` of the environment
    :param defaults: fields of every record, such as ``{"tool": "nightly"}``
    :param batch_size: records that are sent at once, at most
    :param flush_seconds: how long a record waits for others to be sent with
    :param queue_max: records that may wait; more are dropped
    :param timeout_seconds: for one request
    :param retry_seconds: before a batch is sent again; doubles with each attempt
    :param retry_seconds_max: at most
    :param close_seconds: how long ``close`` and the end of the program wait for what is still to be sent
    :param on_fault: called with a :class:`Fault`, from any thread
    :raises ValueError: where an argument is wrong: this is the only exception that comes out of this file
    """

    def __init__(
        self,
        base_url: Optional[str] = None,
        key: Optional[str] = None,
        *,
        defaults: Optional[Mapping[str, Any]] = None,
        batch_size: int = 100,
        flush_seconds: float = 1.0,
        queue_max: int = 10_000,
        timeout_seconds: float = 10.0,
        retry_seconds: float = 0.5,
        retry_seconds_max: float = 30.0,
        close_seconds: float = 5.0,
        on_fault: Optional[Callable[[Fault], None]] = None,
    ) -> None:
        base_url = base_url or os.environ.get("TALLYGATE_URL", "")
        key = key or os.environ.get("TALLYGATE_KEY", "")
        if not base_url.startswith(("http://", "https://")):
            raise ValueError("base_url must be Tallygate's address, such as http://127.0.0.1:8787 (or set TALLYGATE_URL)")
        if not key.startswith("tg_"):
            raise ValueError("key must be a virtual key, which begins with tg_ (or set TALLYGATE_KEY)")
        if not 1 <= batch_size <= BATCH_SIZE_MAX:
            raise ValueError(f"batch_size must be from 1 to {BATCH_SIZE_MAX}")
        if queue_max < batch_size:
            raise ValueError("queue_max must be at least batch_size")
        for name, seconds in (("timeout_seconds", timeout_seconds), ("retry_seconds", retry_seconds)):
            if seconds <= 0:
                raise ValueError(f"{name} must be more than 0")
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._defaults = dict(defaults or {})
        self._batch_size = batch_size
        self._flush_seconds = flush_seconds
        self._queue_max = queue_max
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds
        self._retry_seconds_max = retry_seconds_max
        self._close_seconds = close_seconds
        self._on_fault = on_fault
        self._begin()
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            myself = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _begin_anew(myself()))

    def _begin(self) -> None:
        """Empty, and without a thread: that is started by the first record."""
        self._changed = threading.Condition()
        self._queue: Deque[_Waiting] = deque()
        self._sending = 0
        self._flushes = 0
        self._flushes_begun = 0
        self._closed = False
        self._thread: Optional[threading.Thread] = None
        self._totals = Totals()

    # What a program calls.

    def call(self, *, hold: Optional[Hold] = None, **fields: Any) -> Call:
        """A ``with`` block around one call to a provider; it is timed, and reported when the block ends.

        What was used is said inside of it, by :meth:`Call.usage` or :meth:`Call.usage_of`. An exception is reported as
        the outcome ``error`` and goes on to the program.
        """
        if hold is not None and hold.id is not None:
            fields["hold_id"] = hold.id
        return Call(self, fields)

    def report(self, **record: Any) -> None:
        """Reports one record that is complete. It is sent soon, with others; nothing is waited for."""
        try:
            record = {**self._defaults, **record}
            if not _says_something(record):
                message = "nothing says what the call used: use call.usage(...), or ask a stream for its usage"
                self._tell(Fault("no_usage", message, 1))
                return
            record.setdefault("idempotency_key", uuid.uuid4().hex)
            self._add(_Waiting(_encoded(record), _tokens(record)))
        except Exception as error:
            self._tell(Fault("internal", f"a record cannot be reported: {error!r}", 1))

    def hold(self, **fields: Any) -> Hold:
        """Asks for room beforehand, for what the call will use at most; ``expires_in`` seconds, 900 unless told.

        Waits for the answer, ``timeout_seconds`` at most.
        """
        try:
            status, answer, _ = self._post("/v1/usage/hold", _encoded({**self._defaults, **fields}))
        except Exception as error:
            fault = Fault("unavailable", f"Tallygate cannot be asked for room: {error!r}")
            self._tell(fault)
            return Hold("unavailable", reason=fault.message)
        if status == 201:
            return Hold("granted", id=answer.get("hold_id"))
        reason = _reason(status, answer)
        if status in (403, 429):
            return Hold("refused", reason=reason)
        self._tell(Fault("unavailable", f"Tallygate cannot be asked for room: {reason}"))
        return Hold("unavailable", reason=reason)

    def track_stream(self, stream: Any, **fields: Any) -> Any:
        """A stream of OpenAI's or Anthropic's SDK, or a like one, as it is; its usage is reported when it ends.

        Works on iterators and on asynchronous ones. Chunks pass as they come. One that the program leaves early is
        reported as ``aborted``, one that fails as ``error``. OpenAI tells the usage of a chat completion only where it
        is asked to: ``stream_options={"include_usage": True}``.
        """
        return _Stream(stream, self.call(**fields))

    def wrap(self, client: Any, **fields: Any) -> Any:
        """An OpenAI-style client whose calls are reported; in every other way it is the client itself.

        ::

            openai = tg.wrap(OpenAI(), provider="openai", tool="helpdesk")
            openai.chat.completions.create(model="gpt-4o-mini", messages=messages)

        Reported are ``create`` and ``parse`` of completions, responses, embeddings and messages, also as streams and
        of asynchronous clients. The operation is the call's own name (``chat.completions``), unless ``fields`` has
        another one.
        """
        return _Wrapped(client, self, {"provider": "openai", **fields}, ())

    @property
    def totals(self) -> Totals:
        """What has been booked so far; see :class:`Totals`."""
        with self._changed:
            return self._totals

    def flush(self, timeout_seconds: float = 10.0) -> bool:
        """Sends what waits, now. True where all of it has been answered within the time."""
        end = time.monotonic() + timeout_seconds
        with self._changed:
            self._flushes += 1
            self._flushes_begun += 1
            self._changed.notify_all()
            try:
                while self._queue or self._sending:
                    left = end - time.monotonic()
                    if left <= 0:
                        return False
                    self._changed.wait(left)
                return True
            finally:
                self._flushes -= 1

    def close(self) -> None:
        """Sends what waits, ``close_seconds`` at most, and ends. The end of the program does it, too."""
        with self._changed:
            if self._closed:
                return
        self.flush(self._close_seconds)
        with self._changed:
            self._closed = True
            unsent = len(self._queue) + self._sending
            self._queue.clear()
            self._totals = replace(self._totals, dropped=self._totals.dropped + unsent)
            self._changed.notify_all()
        atexit.unregister(self.close)
        if unsent > 0:
            self._tell(Fault("unsent", f"{unsent} records had no answer before the end", unsent))

    def __enter__(self) -> Tallygate:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # The queue.

    def _add(self, waiting: _Waiting) -> None:
        with self._changed:
            is_full = self._closed or len(self._queue) + self._sending >= self._queue_max
            if is_full:
                self._totals = replace(self._totals, dropped=self._totals.dropped + 1)
            else:
                self._queue.append(waiting)
                self._start_thread()
                self._changed.notify_all()
        if is_full:
            message = "closed" if self._closed else f"{self._queue_max} records wait, and no more fit"
            self._tell(Fault("queue_full", f"a record was dropped: {message}", 1))

    def _start_thread(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._send_all, name="tallygate", daemon=True)
            thread.start()
            self._thread = thread

    def _send_all(self) -> None:
        while True:
            batch = self._next_batch()
            if not batch:
                return
            try:
                self._send(batch)
            except Exception as error:  # The thread must outlive whatever one batch does to it.
                self._tell(Fault("internal", f"{len(batch)} records were lost: {error!r}", len(batch)))
            with self._changed:
                self._sending = 0
                self._changed.notify_all()

    def _next_batch(self) -> List[_Waiting]:
        """Waits for a full batch, for its time, or for a flush; empty at the end."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            due = time.monotonic() + self._flush_seconds
            while len(self._queue) < self._batch_size and not self._flushes and not self._closed:
                left = due - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            batch: List[_Waiting] = []
            size = 0
            while self._queue and len(batch) < self._batch_size:
                size += len(self._queue[0].text)
                if batch and size > BATCH_BYTES_MAX:
                    break
                batch.append(self._queue.popleft())
            self._sending = len(batch)
            return batch

    def _send(self, batch: List[_Waiting]) -> None:
        """Sends one batch until it is answered for good, or until the end."""
        body = b'{"records":[' + b",".join(waiting.text for waiting in batch) + b"]}"
        attempt = 0
        while True:
            status, answer, wanted_seconds = self._try("/v1/usage", body)
            # Whoever else answers at that address has not said what became of each record.
            if status == 200 and len(answer.get("data") or ()) == len(batch):
                self._booked(batch, answer, is_repeated=attempt > 0)
                return
            reason = _reason(status, answer)
            if status != 0 and status not in PASSING:
                with self._changed:
                    self._totals = replace(self._totals, refused=self._totals.refused + len(batch))
                self._tell(Fault("refused", f"{len(batch)} records are not booked: {reason}", len(batch)))
                return
            if attempt == 0:
                self._tell(Fault("unavailable", f"records wait, Tallygate does not take them: {reason}", len(batch)))
            seconds = min(self._retry_seconds_max, self._retry_seconds * 2 ** min(attempt, 16))
            # By chance, so that a thousand programs do not come back at the same moment.
            pause = max(wanted_seconds, seconds * random.uniform(0.5, 1.0))
            if self._paused(pause):
                return
            attempt += 1

    def _paused(self, seconds: float) -> bool:
        """Waits, and no longer than until the next flush. True at the end."""
        with self._changed:
            before = self._flushes_begun
            self._changed.wait_for(lambda: self._closed or self._flushes_begun != before, seconds)
            return self._closed

    def _try(self, path: str, body: bytes) -> Tuple[int, Dict[str, Any], float]:
        """Status, answer, and the seconds that it asks to wait; status 0 where nobody answers."""
        try:
            return self._post(path, body)
        except Exception as error:
            return 0, {"error": {"message": repr(error)}}, 0.0

    def _post(self, path: str, body: bytes) -> Tuple[int, Dict[str, Any], float]:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._base_url + path, data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_seconds) as response:
                return response.status, _answer(response.read()), 0.0
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, _answer(refusal.read()), _seconds(refusal.headers.get("retry-after"))

    def _booked(self, batch: List[_Waiting], answer: Mapping[str, Any], is_repeated: bool) -> None:
        refusals: List[str] = []
        with self._changed:
            records, tokens, unpriced = self._totals.records, self._totals.tokens, self._totals.unpriced
            cost_usd, over_limit = self._totals.cost_usd, dict(self._totals.over_limit)
            for waiting, told in zip(batch, answer["data"]):
                if "error" in told:
                    refusals.append(_reason(400, told))
                    continue
                # Of a batch that is sent again, a duplicate was booked by an attempt whose answer did not arrive. Else
                # the program itself has reported it twice, and it was counted the first time.
                if told.get("duplicate") and not is_repeated:
                    continue
                records, tokens = records + 1, tokens + waiting.tokens
                cost = told.get("cost_usd")
                unpriced += cost is None
                cost_usd += Decimal(cost or 0)
                over_limit.update({limit["limit_id"]: limit for limit in told.get("over_limit") or ()})
            self._totals = replace(
                self._totals,
                records=records,
                tokens=tokens,
                unpriced=unpriced,
                cost_usd=cost_usd,
                over_limit=over_limit,
                refused=self._totals.refused + len(refusals),
            )
        for reason in refusals:
            self._tell(Fault("refused", f"a record is not booked: {reason}", 1))

    def _tell(self, fault: Fault) -> None:
        try:
            log.warning("%s", fault.message)
            if self._on_fault is not None:
                self._on_fault(fault)
        except Exception:  # Whoever listens has a fault of its own; it must not become the program's.
            log.exception("on_fault failed")


@dataclass(frozen=True)
class _Waiting:
    """A record that waits to be sent."""

    text: bytes
    tokens: int


def _begin_anew(client: Optional[Tallygate]) -> None:
    """In a forked process: what waits is its parent's to send, and its parent's thread is not here."""
    if client is not None:
        client._begin()


def _encoded(record: Mapping[str, Any]) -> bytes:
    return json.dumps({k: v for k, v in record.items() if v is not None}, default=_plain, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no place in a record")


def _says_something(record: Mapping[str, Any]) -> bool:
    """Whether there is anything to book: an amount, a cost, or that it went wrong."""
    if record.get("outcome", "ok") != "ok" or record.get("error"):
        return True
    return any(
        value is not None
        for name, value in record.items()
        if name.endswith("_tokens") or name in ("units", "cost_usd", "web_searches")
    )


def _tokens(record: Mapping[str, Any]) -> int:
    said = record.get("input_tokens")
    input_tokens = said if said is not None else sum(record.get(name) or 0 for name in TOKEN_CLASSES)
    return int(input_tokens) + int(record.get("output_tokens") or 0)


def _answer(body: bytes) -> Dict[str, Any]:
    try:
        answer = json.loads(body)
        return answer if isinstance(answer, dict) else {}
    except ValueError:
        return {}


def _reason(status: int, answer: Mapping[str, Any]) -> str:
    error = answer.get("error")
    message = error.get("message") if isinstance(error, Mapping) else None
    return str(message or f"HTTP {status}")


def _seconds(retry_after: Optional[str]) -> float:
    try:
        return min(60.0, max(0.0, float(retry_after or 0)))
    except ValueError:
        return 0.0


# What answers say of their usage.


def read_usage(answer: Any) -> Dict[str, Any]:
    """Usage and model of an answer, an event or a chunk: of OpenAI's chat completions and responses, of Anthropic's
    messages, and of what is like them; empty where it says nothing. Objects and dictionaries are read alike."""
    # Responses and messages come whole, or within an event of their stream.
    whole = _member(answer, "response") or _member(answer, "message") or answer
    found: Dict[str, Any] = {}
    usage = _member(whole, "usage")
    if usage is not None:
        found.update(_usage_fields(usage))
    if isinstance(_member(whole, "model"), str):
        found["model"] = _member(whole, "model")
    return found


def _usage_fields(usage: Any) -> Dict[str, Any]:
    read, written = _member(usage, "cache_read_input_tokens"), _member(usage, "cache_creation_input_tokens")
    if read is not None or written is not None:
        # Anthropic counts cached input apart, and writes of an hour apart from those of five minutes.
        hour = _member(_member(usage, "cache_creation"), "ephemeral_1h_input_tokens") or 0
        found = {
            "input_uncached_tokens": _member(usage, "input_tokens"),
            "cache_read_tokens": read,
            "cache_write_5m_tokens": None if written is None else written - hour,
            "cache_write_1h_tokens": hour or None,
            "output_tokens": _member(usage, "output_tokens"),
        }
    else:
        inputs = _member(usage, "prompt_tokens_details") or _member(usage, "input_tokens_details")
        outputs = _member(usage, "completion_tokens_details") or _member(usage, "output_tokens_details")
        found = {
            "input_tokens": _first(_member(usage, "prompt_tokens"), _member(usage, "input_tokens")),
            "output_tokens": _first(_member(usage, "completion_tokens"), _member(usage, "output_tokens")),
            "cache_read_tokens": _member(inputs, "cached_tokens"),
            "reasoning_tokens": _member(outputs, "reasoning_tokens"),
            "audio_output_tokens": _member(outputs, "audio_tokens"),
        }
    return {name: value for name, value in found.items() if isinstance(value, int)}


def _member(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


# What passes a client's calls through.


class _Stream:
    """A stream whose chunks pass as they come; its call is ended once: by its end, a failure, or whoever leaves it."""

    def __init__(self, stream: Any, call: Call) -> None:
        self._stream = stream
        self._call: Optional[Call] = call
        self._source: Any = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._source is None:
            self._source = iter(self._stream)
        try:
            return self._seen(next(self._source))
        except StopIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(error)
            raise

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> Any:
        if self._source is None:
            self._source = self._stream.__aiter__()
        try:
            return self._seen(await self._source.__anext__())
        except StopAsyncIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(error)
            raise

    def __enter__(self) -> _Stream:
        self._stream.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        self._end(error or GeneratorExit())
        return self._stream.__exit__(kind, error, trace)

    async def __aenter__(self) -> _Stream:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> Any:
        self._end(error or GeneratorExit())
        return await self._stream.__aexit__(kind, error, trace)

    def close(self) -> Any:
        self._end(GeneratorExit())
        return self._stream.close()

    def __del__(self) -> None:
        self._end(GeneratorExit())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _seen(self, chunk: Any) -> Any:
        if self._call is not None:
            self._call.usage_of(chunk)
        return chunk

    def _end(self, error: Optional[BaseException]) -> None:
        call, self._call = self._call, None
        if call is not None:
            call._end(error)


class _Wrapped:
    """A client, or a part of one, whose metered calls are reported."""

    def __init__(self, target: Any, client: Tallygate, fields: Mapping[str, Any], path: Tuple[str, ...]) -> None:
        self._target = target
        self._client = client
        self._fields = fields
        self._path = path

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name in ("with_options", "copy"):
            return lambda *args, **kwargs: _Wrapped(found(*args, **kwargs), self._client, self._fields, ())
        if name in ("create", "parse") and self._path and self._path[-1] in METERED:
            return self._reported(found)
        if name.startswith("_") or callable(found) or isinstance(found, (str, bytes, int, float, type(None))):
            return found
        return _Wrapped(found, self._client, self._fields, (*self._path, name))

    def _reported(self, create: Callable[..., Any]) -> Callable[..., Any]:
        def create_and_report(*args: Any, **kwargs: Any) -> Any:
            fields = {"model": kwargs.get("model"), "operation": ".".join(self._path), **self._fields}
            call = self._client.call(**fields)
            try:
                answer = create(*args, **kwargs)
            except BaseException as error:
                call._end(error)
                raise
            return _awaited(answer, call) if inspect.isawaitable(answer) else _answered(answer, call)

        return create_and_report


async def _awaited(answer: Any, call: Call) -> Any:
    try:
        answer = await answer
    except BaseException as error:
        call._end(error)
        raise
    return _answered(answer, call)


def _answered(answer: Any, call: Call) -> Any:
    """An answer with its usage is reported now; a stream, when it ends."""
    if hasattr(answer, "__next__") or hasattr(answer, "__anext__"):
        return _Stream(answer, call)
    call.usage_of(answer)
    call._end(None)
    return answer

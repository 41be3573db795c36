"""The promises of examples/python/tallygate_client.py, against a running Tallygate and doors in front of it that fail.

Run by python-client.test.ts, which starts what it needs: TALLYGATE_URL, TALLYGATE_KEY and TALLYGATE_SMALL_KEY (a key with
a limit that is soon used up).
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
import unittest
import urllib.request
from collections import Counter
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, Dict, List

from tallygate_client import Fault, Tallygate

URL = os.environ["TALLYGATE_URL"]
KEY = os.environ["TALLYGATE_KEY"]
#: Nobody listens there.
NOWHERE = "http://127.0.0.1:9"
CHAT = {"provider": "openai", "model": "gpt-4o-mini"}

logging.getLogger("tallygate").setLevel(logging.CRITICAL)


def records(tool: str, count: int, key: str = KEY) -> List[Dict[str, Any]]:
    """What the ledger has of a tool, as soon as there are so many; it is a fraction of a second behind."""
    request = urllib.request.Request(
        f"{URL}/v1/usage/records?range=today&limit=1000&tool={tool}", headers={"Authorization": f"Bearer {key}"}
    )
    end = time.monotonic() + 30
    while True:
        with urllib.request.urlopen(request) as response:
            data = json.load(response)["data"]
        if len(data) >= count or time.monotonic() > end:
            return data
        time.sleep(0.05)


class Door:
    """An address in front of Tallygate that does with each request what the test says; afterwards, it passes them on."""

    def __init__(self, *acts: str) -> None:
        self.acts = list(acts)
        self.bodies: List[bytes] = []
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                door.bodies.append(body)
                act = door.acts.pop(0) if door.acts else "pass"
                if act in ("unavailable", "stranger"):
                    self.send_response(503 if act == "unavailable" else 200)
                    self.end_headers()
                    return
                request = urllib.request.Request(URL + self.path, data=body, headers=dict(self.headers))
                with urllib.request.urlopen(request) as response:
                    answer = response.read()
                # The answer is lost: booked there, and nobody here knows.
                if act == "lose":
                    return
                self.send_response(response.status)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> "Door":
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.shutdown()
        self.server.server_close()


class Reporting(unittest.TestCase):
    """A client for each test, whose records have the test's name as their tool."""

    def setUp(self) -> None:
        self.faults: List[Fault] = []
        self.tool = self.id().split(".")[-1]

    def client(self, url: str = URL, key: str = KEY, **options: Any) -> Tallygate:
        options = {"flush_seconds": 0.05, "retry_seconds": 0.02, "close_seconds": 30, **options}
        tg = Tallygate(url, key, defaults={"tool": self.tool}, on_fault=self.faults.append, **options)
        self.addCleanup(tg.close)
        return tg

    def kinds(self) -> Counter:
        return Counter(fault.kind for fault in self.faults)


class Sending(Reporting):
    """Records reach the ledger once, and the program is left in peace."""

    def test_many_threads(self) -> None:
        tg = self.client(batch_size=50)

        def work() -> None:
            for _ in range(40):
                with tg.call(**CHAT) as call:
                    call.usage(input_tokens=100, output_tokens=10)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(tg.flush(30))
        found = records(self.tool, 320)
        self.assertEqual(len(found), 320)
        self.assertEqual((tg.totals.records, tg.totals.tokens), (320, 320 * 110))
        self.assertEqual(tg.totals.cost_usd, sum(Decimal(record["cost_usd"]) for record in found))
        self.assertGreater(tg.totals.cost_usd, 0)
        self.assertEqual(self.faults, [])

    def test_answers_that_are_lost(self) -> None:
        with Door("lose", "unavailable", "lose") as door:
            tg = self.client(door.url, flush_seconds=60)
            for _ in range(5):
                tg.report(**CHAT, input_tokens=10)
            self.assertTrue(tg.flush(30))
            self.assertEqual(len(door.bodies), 4)
            self.assertEqual(len(set(door.bodies)), 1, "the same records under the same keys")
        self.assertEqual(tg.totals.records, 5)
        time.sleep(0.3)
        self.assertEqual(len(records(self.tool, 5)), 5)
        self.assertEqual(self.kinds(), {"unavailable": 1})

    def test_somebody_else_at_the_address(self) -> None:
        with Door("stranger") as door:
            tg = self.client(door.url)
            tg.report(**CHAT, input_tokens=10)
            self.assertTrue(tg.flush(30))
        self.assertEqual((tg.totals.records, tg.totals.refused, self.kinds()), (0, 1, {"refused": 1}))

    def test_the_same_report_twice(self) -> None:
        tg = self.client()
        for _ in range(2):
            tg.report(**CHAT, input_tokens=10, idempotency_key="mine")
            tg.flush(30)
        self.assertEqual(len(records(self.tool, 1)), 1)
        self.assertEqual(tg.totals.records, 1)

    def test_a_queue_that_is_full(self) -> None:
        tg = self.client(NOWHERE, queue_max=5, batch_size=5, close_seconds=0.1)
        for _ in range(8):
            tg.report(**CHAT, input_tokens=10)
        self.assertEqual(tg.totals.dropped, 3)
        tg.close()
        self.assertEqual(tg.totals.dropped, 8)
        self.assertEqual((self.kinds()["queue_full"], self.kinds()["unsent"]), (3, 1))
        tg.report(**CHAT, input_tokens=10)
        self.assertEqual(self.kinds()["queue_full"], 4)

    def test_one_record_that_is_wrong(self) -> None:
        tg = self.client()
        tg.report(**CHAT, input_tokens=10)
        tg.report(**CHAT, input_tokens=10, no_such_field=1)
        tg.report(**CHAT, input_tokens=-1)
        tg.report(**CHAT, input_tokens=10, metadata=object())
        self.assertTrue(tg.flush(30))
        self.assertEqual(len(records(self.tool, 1)), 1)
        self.assertEqual((tg.totals.records, tg.totals.refused), (1, 2))
        self.assertEqual(self.kinds(), {"refused": 2, "internal": 1})

    def test_a_key_that_nobody_knows(self) -> None:
        tg = self.client(key="tg_nobody")
        tg.report(**CHAT, input_tokens=10)
        self.assertTrue(tg.flush(30))
        self.assertEqual((tg.totals.refused, self.kinds()), (1, {"refused": 1}))

    def test_limits_that_are_over(self) -> None:
        tg = self.client(key=os.environ["TALLYGATE_SMALL_KEY"])
        tg.report(**CHAT, input_tokens=1_000)
        self.assertTrue(tg.flush(30))
        (limit,) = tg.totals.over_limit.values()
        self.assertEqual((limit["kind"], limit["cap"], limit["used"]), ("tokens", "500", "1000"))
        hold = tg.hold(**CHAT, input_tokens=10)
        self.assertTrue(hold.refused)
        self.assertIn("500", hold.reason)

    def test_a_hold_is_ended_by_its_call(self) -> None:
        tg = self.client()
        hold = tg.hold(**CHAT, input_tokens=1_000, output_tokens=10)
        self.assertTrue(hold.granted)
        with Door() as door:
            through = self.client(door.url)
            with through.call(**CHAT, hold=hold) as call:
                call.usage(input_tokens=900, output_tokens=5)
            self.assertTrue(through.flush(30))
            self.assertIn(hold.id or "", door.bodies[0].decode())
        self.assertEqual(self.client(NOWHERE).hold(**CHAT, input_tokens=1).state, "unavailable")
        self.assertEqual(self.kinds(), {"unavailable": 1})

    def test_an_exception_is_reported_and_goes_on(self) -> None:
        tg = self.client()
        with self.assertRaises(ZeroDivisionError):
            with tg.call(**CHAT):
                raise ZeroDivisionError
        with self.assertRaises(KeyboardInterrupt):
            with tg.call(**CHAT) as call:
                call.usage(input_tokens=7)
                raise KeyboardInterrupt
        tg.flush(30)
        found = {record["outcome"]: record for record in records(self.tool, 2)}
        self.assertEqual(found["error"]["error_code"], "ZeroDivisionError")
        self.assertEqual(found["aborted"]["input_uncached_tokens"], 7)

    def test_listeners_that_fail(self) -> None:
        def fail(_: Fault) -> None:
            raise RuntimeError("a fault of its own")

        tg = Tallygate(URL, KEY, on_fault=fail)
        with tg.call(**CHAT):
            pass
        tg.close()
        self.assertEqual(tg.totals.records, 0)

    def test_the_end_of_the_program_and_of_a_forked_one(self) -> None:
        program = f"""
import os
from tallygate_client import Tallygate

tg = Tallygate(flush_seconds=60, defaults={{"provider": "openai", "model": "gpt-4o-mini", "tool": "{self.tool}"}})
tg.report(input_tokens=1)
child = os.fork()
if child == 0:
    # What waits is the parent's to send.
    tg.report(input_tokens=2)
    os._exit(0 if tg.flush(30) and tg.totals.records == 1 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
        subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)
        self.assertEqual(sorted(record["input_uncached_tokens"] for record in records(self.tool, 2)), [1, 2])

    def test_arguments_that_are_wrong(self) -> None:
        for wrong in (
            {"base_url": "tallygate:8787"},
            {"key": "sk-of-somebody-else"},
            {"batch_size": 0},
            {"batch_size": 1_001},
            {"queue_max": 1},
            {"timeout_seconds": 0},
        ):
            with self.subTest(wrong), self.assertRaises(ValueError):
                Tallygate(**{"base_url": URL, "key": KEY, **wrong})


def chunk(**members: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"model": "gpt-4o-mini-2024-07-18", "usage": None, **members})


CHAT_USAGE = SimpleNamespace(
    prompt_tokens=100,
    completion_tokens=20,
    prompt_tokens_details=SimpleNamespace(cached_tokens=60),
    completion_tokens_details=SimpleNamespace(reasoning_tokens=5),
)
CHUNKS = [chunk(text="Hel"), chunk(text="lo"), chunk(usage=CHAT_USAGE)]


class Stream:
    """As SDKs make them: an iterator that can be closed, with members of its own."""

    response = "the HTTP response"

    def __init__(self, chunks: List[Any], failure: Any = None) -> None:
        self.chunks, self.failure, self.is_closed = list(chunks), failure, False

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Any:
        if self.chunks:
            return self.chunks.pop(0)
        raise self.failure or StopIteration

    def close(self) -> None:
        self.is_closed = True


class Tracking(Reporting):
    """Streams and clients; what they say of their usage."""

    def only(self, tg: Tallygate) -> Dict[str, Any]:
        tg.flush(30)
        (record,) = records(self.tool, 1)
        return record

    def test_a_stream_passes_as_it_is(self) -> None:
        tg = self.client()
        stream = tg.track_stream(Stream(CHUNKS), provider="openai", conversation="c1")
        self.assertEqual(stream.response, "the HTTP response")
        self.assertTrue(all(seen is given for seen, given in zip(stream, CHUNKS)))
        record = self.only(tg)
        self.assertEqual((record["model_served"], record["conversation"]), ("gpt-4o-mini-2024-07-18", "c1"))
        classes = ("input_uncached_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")
        self.assertEqual([record[name] for name in classes], [40, 60, 20, 5])
        self.assertEqual(record["outcome"], "ok")

    def test_a_stream_that_fails(self) -> None:
        tg = self.client()
        failure = ConnectionError("gone")
        with self.assertRaises(ConnectionError) as caught:
            list(tg.track_stream(Stream(CHUNKS[:1], failure), **CHAT))
        self.assertIs(caught.exception, failure)
        record = self.only(tg)
        self.assertEqual((record["outcome"], record["error_code"]), ("error", "ConnectionError"))

    def test_a_stream_that_is_left(self) -> None:
        tg = self.client()
        given = Stream(CHUNKS)
        stream = tg.track_stream(given, **CHAT)
        next(stream)
        stream.close()
        self.assertTrue(given.is_closed)
        del stream
        self.assertEqual(self.only(tg)["outcome"], "aborted")

    def test_a_stream_that_says_nothing(self) -> None:
        tg = self.client()
        self.assertEqual(len(list(tg.track_stream(Stream(CHUNKS[:2]), **CHAT))), 2)
        self.assertEqual(self.kinds(), {"no_usage": 1})

    def test_anthropic_counts_cached_input_apart(self) -> None:
        tg = self.client()
        begun = {"input_tokens": 50, "cache_read_input_tokens": 700, "cache_creation_input_tokens": 30, "output_tokens": 1}
        begun["cache_creation"] = {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}
        events = [
            {"type": "message_start", "message": {"model": "claude-sonnet-4-5", "usage": begun}},
            {"type": "content_block_delta", "delta": {"text": "Hello"}},
            {"type": "message_delta", "usage": {"output_tokens": 25}},
        ]
        self.assertEqual(list(tg.track_stream(Stream(events), provider="anthropic")), events)
        record = self.only(tg)
        classes = ("input_uncached_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
        self.assertEqual([record[name] for name in (*classes, "output_tokens")], [50, 700, 10, 20, 25])
        self.assertEqual(record["model_served"], "claude-sonnet-4-5")

    def test_responses_and_what_is_unlike_anything(self) -> None:
        tg = self.client()

        class Hostile:
            @property
            def usage(self) -> Any:
                raise RuntimeError("no")

        with tg.call(**CHAT) as call:
            call.usage_of(Hostile())
            call.usage_of(None)
            call.usage_of({"type": "response.completed", "response": {"usage": {"input_tokens": 9, "output_tokens": 1}}})
        self.assertEqual(self.only(tg)["input_uncached_tokens"], 9)
        self.assertEqual(self.kinds(), {"internal": 1})

    def test_a_wrapped_client(self) -> None:
        tg = self.client()
        answer = chunk(usage=CHAT_USAGE)
        asked: List[Dict[str, Any]] = []

        def create(**kwargs: Any) -> Any:
            asked.append(kwargs)
            if kwargs.get("fail"):
                raise ConnectionError
            return Stream(CHUNKS) if kwargs.get("stream") else answer

        async def create_later(**kwargs: Any) -> Any:
            return create(**kwargs)

        def client_of(create: Any) -> Any:
            made = SimpleNamespace(api_key="sk-x", chat=SimpleNamespace(completions=SimpleNamespace(create=create)))
            made.files = SimpleNamespace(create=lambda: "file-1")
            made.with_options = lambda **_: made
            return made

        wrapped = tg.wrap(client_of(create))
        self.assertEqual((wrapped.api_key, wrapped.files.create()), ("sk-x", "file-1"))
        self.assertIs(wrapped.chat.completions.create(model="gpt-4o-mini", temperature=0), answer)
        self.assertEqual(asked, [{"model": "gpt-4o-mini", "temperature": 0}])
        self.assertEqual(list(wrapped.with_options(timeout=5).chat.completions.create(model="m", stream=True)), CHUNKS)
        with self.assertRaises(ConnectionError):
            wrapped.chat.completions.create(model="gpt-4o-mini", fail=True)
        later = tg.wrap(client_of(create_later))
        self.assertIs(asyncio.run(later.chat.completions.create(model="gpt-4o-mini")), answer)
        tg.flush(30)
        found = records(self.tool, 4)
        self.assertEqual(Counter(record["outcome"] for record in found), {"ok": 3, "error": 1})
        self.assertEqual({record["operation"] for record in found}, {"chat.completions"})
        self.assertEqual(self.faults, [])

    def test_an_asynchronous_stream(self) -> None:
        tg = self.client()

        async def made() -> Any:
            for one in CHUNKS:
                yield one

        async def read() -> List[Any]:
            return [one async for one in tg.track_stream(made(), **CHAT)]

        self.assertEqual(asyncio.run(read()), CHUNKS)
        self.assertEqual(self.only(tg)["output_tokens"], 20)


if __name__ == "__main__":
    unittest.main()

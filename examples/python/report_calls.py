"""Calls a provider directly, from four threads, and reports each call to Tallygate.

Reads TALLYGATE_URL and TALLYGATE_KEY. `summarize` stands in for whatever your program asks a provider for.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Tuple

from tallygate_client import Fault, Tallygate


def summarize(document: str) -> Tuple[str, int, int]:
    """A summary, and the tokens that the provider says it has counted: put your own call here."""
    if not document:
        raise ValueError("an empty document")
    return document[:20], 40 + len(document) // 4, 12


def on_fault(fault: Fault) -> None:
    print(f"fault: {fault.kind}: {fault.message}")


def main() -> None:
    with Tallygate(defaults={"tool": "nightly-summary"}, on_fault=on_fault) as tg:

        def work(number: int) -> None:
            # The fifth document is empty: its failure is reported, and is still the program's own to handle.
            document = "" if number == 5 else f"Document {number}. " * 40
            try:
                with tg.call(provider="openai", model="gpt-4o-mini", operation="summarize") as call:
                    _, input_tokens, output_tokens = summarize(document)
                    call.usage(input_tokens=input_tokens, output_tokens=output_tokens, conversation=f"doc-{number}")
            except ValueError as error:
                print(f"document {number}: {error}")

        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(work, range(12)))

        # Room for what is dear, before it is made.
        video = {"provider": "acme-video", "model": "v2", "units": 30, "unit_type": "seconds", "cost_usd": "1.50"}
        hold = tg.hold(**video, expires_in=600)
        if hold.refused:
            print(f"no video today: {hold.reason}")
        else:
            with tg.call(**{**video, "cost_usd": "1.35"}, operation="trailer", hold=hold):
                pass  # make it here

        tg.flush()
        totals = tg.totals
        print(f"booked {totals.records} records, {totals.tokens} tokens, ${totals.cost_usd}")
        for limit in totals.over_limit.values():
            print(f"over its limit: {limit['used']} of {limit['cap']} {limit['kind']} this {limit['window']}")


if __name__ == "__main__":
    main()

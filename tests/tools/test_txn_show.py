#!/usr/bin/env python3
"""What `tally txn show` says of a transaction whose producer died and which the third check decided.

The text stands in golden/txn-show.txt, with TIME for each time. It is what an operator reads at
night, so a change of it is a change of the product. TALLY_WRITE_GOLDEN=1 writes it when missing.
"""

import os
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from broker import Broker  # noqa: E402
from wire import ANSWER_CHECK, CHECK, PREPARE, REGISTER_CHECKER, Connection, block  # noqa: E402

GOLDEN = pathlib.Path(__file__).parent / "golden/txn-show.txt"
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")
STORE = bytes(range(16))
UNKNOWN, COMMIT = 3, 1


class Checker(Connection):
    """An instance of the order service: prepares, and answers checks."""

    def __init__(self, broker, client):
        super().__init__(broker.address, client=client)
        self.ask(REGISTER_CHECKER, [(1, "order-service"), (2, STORE)])

    def next_check(self):
        check = self.receive()
        assert check.kind == CHECK, check
        self.answer(check)  # the receipt
        return dict(check.fields)

    def verdict(self, check, decision, reason):
        answer = self.ask(ANSWER_CHECK, [(1, check[1]), (2, check[5]), (3, decision), (5, reason)])
        assert answer.code == 0, answer


class TxnShow(unittest.TestCase):
    maxDiff = None

    def test_a_transaction_that_the_third_check_decided_after_its_producer_died(self):
        with Broker("--first-check-ms", "200") as broker:
            broker.ok("topic", "create", "orders")
            broker.ok("topic", "create", "mails")
            with Checker(broker, "orders-1") as producer:
                for number, topic in (1, "orders"), (2, "mails"):
                    prepared = producer.ask(PREPARE, [(1, topic), (2, "order-4711"),
                                                      (3, "order-service"), (4, STORE),
                                                      (5, number)], block(b"{}"))
                    self.assertEqual(prepared.code, 0)
                producer.verdict(producer.next_check(), UNKNOWN, "the transaction still runs")
                producer.next_check()  # it dies before its verdict
            with Checker(broker, "orders-2") as other:
                other.verdict(other.next_check(), COMMIT, "barrier row found: committed")
            shown = broker.table("txn", "show", "order-4711").out
        text = TIME.sub("TIME", shown)
        if os.environ.get("TALLY_WRITE_GOLDEN") and not GOLDEN.exists():
            GOLDEN.write_text(text)
        self.assertEqual(text, GOLDEN.read_text())


if __name__ == "__main__":
    unittest.main()

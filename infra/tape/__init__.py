"""The tape: a ledger's recorded facts as Parquet files, made from the Kafka topics, checked against the store's hash tree.

`making` reads Kafka and judges each record, `writing` makes the files, `manifest` says what they are, `reading` gives the facts
to a replay, `checking` compares all of it with the store once more.
"""

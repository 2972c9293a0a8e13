"""The rules and the ledger: what a fact is, what follows from it, and the names both are recorded under.

Nothing here does I/O or reads a clock. `decide` (the pure decision function) is the only implementation of a rule;
`partner` and `application` put it on the event-sourcing library; `envelope` says which bytes go to Kafka.
"""

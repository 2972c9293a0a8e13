"""The command line: `partner-ledger`. Each command's contract is in feeds-and-commands.md."""

"""Pure folds of events to the rows that people read: standing, loyalty, bonuses and balances, audit trail. No clock, no I/O."""

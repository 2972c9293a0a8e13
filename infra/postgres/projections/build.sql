-- The tables of one build of the projections, created in the schema that the search path names. Except for balances, the
-- state of streams and the partitions' progress, rows are only ever added, each citing the position it follows from: so
-- "as known at" is a filter by position. Ids are compared by byte (COLLATE "C"), which is also faster. What a build needs while it
-- is filled is here; keys and indexes of the tables that rows are only added to are in indexes.sql, which a rebuild runs at its end.

-- Where each partition stands. A batch moves next_offset, as its first statement, only from where it started.
CREATE TABLE partition_progress (
    topic                text NOT NULL,
    partition            integer NOT NULL,
    cluster_id           text NOT NULL,
    topic_id             text NOT NULL,
    next_offset          bigint NOT NULL,
    retries              bigint NOT NULL DEFAULT 0, -- how often a retry has changed streams of this partition
    applied              bigint NOT NULL DEFAULT 0,
    last_position        bigint NOT NULL DEFAULT 0,
    ledger_date          date,
    latest_business_date date,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 10);

CREATE TABLE stream_version (
    stream    text COLLATE "C" PRIMARY KEY,
    partition integer NOT NULL,
    version   integer NOT NULL,
    leaf_hash bytea NOT NULL
) WITH (fillfactor = 50);

-- Records that could not be applied, and those that wait behind them. A position: the event store holds the record there.
CREATE TABLE parked (
    topic         text NOT NULL,
    partition     integer NOT NULL,
    record_offset bigint NOT NULL,
    stream        text COLLATE "C" NOT NULL,
    record_key    bytea,
    value         bytea,
    leaf_hash     bytea,
    position      bigint,
    reason        text NOT NULL,
    parked_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition, record_offset)
);
CREATE INDEX ON parked (stream);

-- Records that the ledger has dropped, as their event says; each is passed over where it comes.
CREATE TABLE dropped (
    position      bigint PRIMARY KEY,
    topic         text NOT NULL,
    partition     integer NOT NULL,
    record_offset bigint NOT NULL,
    leaf_hash     bytea,
    reason        text NOT NULL
);
CREATE INDEX ON dropped (topic, partition, record_offset);

CREATE TABLE partner (
    position    bigint NOT NULL,
    partner     text COLLATE "C" NOT NULL,
    name        text NOT NULL,
    country     text NOT NULL,
    currency    text NOT NULL,
    enrolled_on date NOT NULL,
    programme   text NOT NULL
);

CREATE TABLE tier (
    position     bigint NOT NULL,
    partner      text COLLATE "C" NOT NULL,
    effective_on date NOT NULL,
    tier         text NOT NULL,
    reason       text NOT NULL,
    by_fact      boolean NOT NULL,
    programme    text NOT NULL
);

CREATE TABLE specialisation (
    position       bigint NOT NULL,
    partner        text COLLATE "C" NOT NULL,
    specialisation text NOT NULL,
    effective_on   date NOT NULL,
    held           boolean NOT NULL,
    by_fact        boolean NOT NULL,
    programme      text NOT NULL
);

CREATE TABLE membership (
    position     bigint NOT NULL,
    partner      text COLLATE "C" NOT NULL,
    change       text NOT NULL,
    effective_on date NOT NULL,
    reason       text
);

CREATE TABLE sale (
    position      bigint NOT NULL,
    deal_id       text COLLATE "C" NOT NULL,
    partner       text COLLATE "C" NOT NULL,
    closed_on     date NOT NULL,
    family        text NOT NULL,
    currency      text NOT NULL,
    amount        numeric NOT NULL,
    earning       boolean NOT NULL,
    qualifying    numeric NOT NULL,
    base_currency text NOT NULL,
    programme     text NOT NULL,
    source_ref    text
);

CREATE TABLE reversal (
    position          bigint NOT NULL,
    reversal_id       text COLLATE "C" NOT NULL,
    deal_id           text COLLATE "C" NOT NULL,
    partner           text COLLATE "C" NOT NULL,
    reversed_on       date NOT NULL,
    currency          text NOT NULL,
    amount            numeric NOT NULL,
    net               numeric NOT NULL,
    qualifying_change numeric NOT NULL,
    reason            text
);

-- What is left of each deal.
CREATE VIEW deal AS
    SELECT s.*, s.amount - coalesce((SELECT sum(r.amount) FROM reversal r WHERE r.deal_id = s.deal_id), 0) AS net FROM sale s;

CREATE TABLE bonus_line (
    position      bigint NOT NULL,
    n             integer NOT NULL,
    partner       text COLLATE "C" NOT NULL,
    kind          text NOT NULL,
    cause         text COLLATE "C",
    scheme        text NOT NULL,
    category      text NOT NULL,
    business_date date NOT NULL,
    posting_date  date NOT NULL,
    currency      text NOT NULL,
    amount        numeric NOT NULL CHECK (amount <> 0),
    basis         numeric NOT NULL,
    rate_bp       integer NOT NULL,
    programme     text NOT NULL,
    tier          text NOT NULL
);

-- The journal: each line is a double entry. Its amount, without the sign, is debited to one account and credited to another.
CREATE VIEW posting AS
    SELECT position, n,
           CASE WHEN amount > 0 THEN 'bonus-expense:' || scheme ELSE 'payable:' || partner END COLLATE "C" AS debit,
           CASE WHEN amount > 0 THEN 'payable:' || partner ELSE 'bonus-expense:' || scheme END COLLATE "C" AS credit,
           currency, abs(amount) AS amount, posting_date
    FROM bonus_line;

-- The same by account: debits above zero, credits below.
CREATE VIEW journal AS
    SELECT position, n, posting_date, debit AS account, currency, amount FROM posting
    UNION ALL SELECT position, n, posting_date, credit, currency, -amount FROM posting;

-- Sums of lines by the month they were posted in: a balance on a date is the sum of the months before, and of its month's
-- lines up to it.
CREATE TABLE balance (
    partner       text COLLATE "C" NOT NULL,
    currency      text NOT NULL,
    posting_month date NOT NULL,
    accrued       numeric NOT NULL,
    clawed_back   numeric NOT NULL,
    paid          numeric NOT NULL,
    lines         integer NOT NULL,
    PRIMARY KEY (partner, currency, posting_month)
) WITH (fillfactor = 50);

-- Every event once.
CREATE TABLE audit (
    position      bigint NOT NULL,
    stream        text COLLATE "C" NOT NULL,
    version       integer NOT NULL,
    type          text NOT NULL,
    business_date date,
    recorded_at   timestamptz NOT NULL,
    actor         text NOT NULL,
    command_id    text NOT NULL,
    topic         text NOT NULL,
    partition     integer NOT NULL,
    record_offset bigint NOT NULL,
    leaf_hash     bytea NOT NULL,
    programme     text
);

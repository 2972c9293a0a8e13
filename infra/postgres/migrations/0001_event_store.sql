-- The event store: what is decided is here first, and for ever.
--
-- Positions come from the one head row, whose lock is the only serialisation of appends: they are gapless and in commit order,
-- a rollback leaves no hole. What must always be true is refused here by triggers, which the application's login, not being
-- the tables' owner, cannot take away: events and identities never change; an event's actor, time and position are the
-- database's own. ENABLE ALWAYS: session_replication_role does not get around them either. Functions set their search_path, so
-- that nobody's session can put other operators in the way of a check.
CREATE SCHEMA ledger;

-- The head --------------------------------------------------------------------------------------------------------------

CREATE TABLE ledger.head (
    only_row             boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position             bigint NOT NULL CHECK (position >= 0),
    recorded_at          timestamptz NOT NULL,
    programmes_version   integer NOT NULL CHECK (programmes_version >= 0),
    ledger_date          date,
    latest_business_date date,
    taken_after          bigint NOT NULL,
    taken_by             xid8
) WITH (fillfactor = 10);
COMMENT ON TABLE ledger.head IS
    'One row: the last position and its time, the programmes published, the ledger''s date, the latest business date of a partner.';
COMMENT ON COLUMN ledger.head.taken_after IS 'The transaction taken_by took the positions after this one, up to position.';

INSERT INTO ledger.head (position, recorded_at, programmes_version, taken_after) VALUES (0, clock_timestamp(), 0, 0);

CREATE FUNCTION ledger.move_head() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.position < OLD.position OR NEW.programmes_version < OLD.programmes_version
        OR (OLD.ledger_date IS NOT NULL AND (NEW.ledger_date >= OLD.ledger_date) IS NOT TRUE)
        OR (OLD.latest_business_date IS NOT NULL AND (NEW.latest_business_date >= OLD.latest_business_date) IS NOT TRUE)
    THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'The head of the ledger at position %s only moves on, not back to position %s, programmes version %s, ledger''s date %s'
            ' and latest business date %s.',
            OLD.position, NEW.position, NEW.programmes_version, coalesce(NEW.ledger_date::text, 'none'),
            coalesce(NEW.latest_business_date::text, 'none'));
    END IF;
    IF NEW.position = OLD.position
        AND (NEW.programmes_version, NEW.ledger_date, NEW.latest_business_date)
            IS DISTINCT FROM (OLD.programmes_version, OLD.ledger_date, OLD.latest_business_date)
    THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'The head of the ledger at position %s moves on with events only: a publication, an advance and a business date are'
            ' recorded by one.', OLD.position);
    END IF;
    NEW.recorded_at := greatest(clock_timestamp(), OLD.recorded_at);
    NEW.taken_after := OLD.taken_after;
    NEW.taken_by := OLD.taken_by;
    IF NEW.position > OLD.position THEN
        IF OLD.taken_by = pg_current_xact_id() THEN
            RAISE insufficient_privilege USING MESSAGE = format(
                'This transaction has taken the positions up to %s already: append once to a transaction.', OLD.position);
        END IF;
        NEW.taken_after := OLD.position;
        NEW.taken_by := pg_current_xact_id();
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER only_moves_on BEFORE UPDATE ON ledger.head FOR EACH ROW EXECUTE FUNCTION ledger.move_head();
ALTER TABLE ledger.head ENABLE ALWAYS TRIGGER only_moves_on;

CREATE FUNCTION ledger.refuse_head_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = format(
        'The head of the ledger is one row that only moves on: %s on %I.%I is refused.',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME);
END
$$;
CREATE TRIGGER is_one_row BEFORE INSERT OR DELETE OR TRUNCATE ON ledger.head
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_head_change();
ALTER TABLE ledger.head ENABLE ALWAYS TRIGGER is_one_row;

-- Events ----------------------------------------------------------------------------------------------------------------

CREATE TABLE ledger.event (
    position         bigint PRIMARY KEY,
    recorded_at      timestamptz NOT NULL,
    version          integer NOT NULL,
    business_date    date,
    schema_version   smallint NOT NULL,
    envelope_version smallint NOT NULL,
    stream           text COLLATE "C" NOT NULL,
    type             text COLLATE "C" NOT NULL,
    actor            text COLLATE "C" NOT NULL,
    command_id       text COLLATE "C" NOT NULL,
    data             bytea NOT NULL,
    leaf_hash        bytea NOT NULL,
    UNIQUE (stream, version)
);
COMMENT ON TABLE ledger.event IS 'Every event, by position, 1..n without a hole; data is its exact JSON (readable: ledger.event_json).';
COMMENT ON COLUMN ledger.event.business_date IS 'Null only for events that are not the ledger''s own.';
COMMENT ON COLUMN ledger.event.leaf_hash IS 'SHA-256(0x00 || envelope): the bytes on Kafka hash to the same.';

CREATE FUNCTION ledger.check_append() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head      ledger.head;
    events    bigint;
    lowest    bigint;
    highest   bigint;
    forged    bigint;
    latest    date;
BEGIN
    SELECT count(*), min(position), max(position), max(business_date) FILTER (WHERE starts_with(stream, 'partner:'))
      INTO events, lowest, highest, latest FROM appended;
    IF events = 0 THEN
        RETURN NULL;
    END IF;
    SELECT * INTO head FROM ledger.head;
    IF head.taken_by IS DISTINCT FROM pg_current_xact_id() OR lowest <> head.taken_after + 1 OR highest <> head.position
        OR events <> head.position - head.taken_after
    THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'Positions %s to %s (%s events) are not those that this transaction has just taken from ledger.head: move the head by'
            ' the number of events first, then insert all of them in one statement.', lowest, highest, events);
    END IF;
    SELECT min(position) INTO forged FROM appended WHERE actor <> session_user OR recorded_at <> head.recorded_at;
    IF forged IS NOT NULL THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'Event %s has another actor or recorded-at than the database''s own (%s, %s): take both from the update of ledger.head.',
            forged, session_user, head.recorded_at);
    END IF;
    IF latest IS NOT NULL AND (head.latest_business_date >= latest) IS NOT TRUE THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'An event of a partner has the business date %s, later than the head''s: move ledger.head to it as well.', latest);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER takes_its_positions AFTER INSERT ON ledger.event
    REFERENCING NEW TABLE AS appended FOR EACH STATEMENT EXECUTE FUNCTION ledger.check_append();
ALTER TABLE ledger.event ENABLE ALWAYS TRIGGER takes_its_positions;

-- A head that moved on without its events would be a hole. That the last event is there says that all are: they were
-- inserted by one statement or not at all.
CREATE FUNCTION ledger.check_no_hole() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ledger.event WHERE position = NEW.position) THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'Positions up to %s were taken but no events inserted: that would leave a hole.', NEW.position);
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER leaves_no_hole AFTER UPDATE ON ledger.head DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.position <> OLD.position) EXECUTE FUNCTION ledger.check_no_hole();
ALTER TABLE ledger.head ENABLE ALWAYS TRIGGER leaves_no_hole;

CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = format(
        'What the ledger has recorded never changes: %s on %I.%I is refused; correct a fact by a further fact.',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME);
END
$$;
CREATE TRIGGER is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.event
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.event ENABLE ALWAYS TRIGGER is_immutable;

CREATE VIEW ledger.event_json AS
    SELECT position, recorded_at, actor, stream, version, type, schema_version, business_date, command_id, envelope_version,
           convert_from(data, 'UTF8')::jsonb AS data, encode(leaf_hash, 'hex') AS leaf_hash
      FROM ledger.event;
COMMENT ON VIEW ledger.event_json IS 'Events for people and their tools. jsonb orders keys anew: hashes are of ledger.event.data.';

-- Identities, persons ---------------------------------------------------------------------------------------------------

CREATE TABLE ledger.identity (
    kind         text COLLATE "C",
    key          text COLLATE "C",
    stream       text COLLATE "C" NOT NULL,
    version      integer NOT NULL,
    content_hash bytea NOT NULL,
    refers_to    text COLLATE "C",
    PRIMARY KEY (kind, key)
);
COMMENT ON TABLE ledger.identity IS 'One thing for ever (rules.md, Identity): where its fact stands, and the hash of what was told.';
CREATE INDEX identity_refers_to ON ledger.identity (kind, refers_to) WHERE refers_to IS NOT NULL;
CREATE TRIGGER is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.identity
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.identity ENABLE ALWAYS TRIGGER is_immutable;

CREATE TABLE ledger.person (
    person_id text COLLATE "C" PRIMARY KEY,
    pseudonym text COLLATE "C" NOT NULL UNIQUE
);
COMMENT ON TABLE ledger.person IS 'Who a pseudonym of the events is; deleting a row forgets the person, the events stay.';

-- Imports ---------------------------------------------------------------------------------------------------------------

CREATE TABLE ledger.import_progress (
    digest     text COLLATE "C" PRIMARY KEY,
    done       bigint NOT NULL,
    recorded   bigint NOT NULL,
    duplicates bigint NOT NULL,
    events     bigint NOT NULL,
    finished   boolean NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ledger.import_progress IS 'How far an import has come, written in its facts'' transactions.';

CREATE TABLE ledger.import_refusal (
    digest text COLLATE "C",
    seq    bigint,
    file   text NOT NULL,
    line   bigint NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (digest, seq)
);
COMMENT ON TABLE ledger.import_refusal IS 'The rows that an import refused, by their place in its order.';

-- Snapshots -------------------------------------------------------------------------------------------------------------

CREATE TABLE ledger.snapshot (
    stream  text COLLATE "C",
    version integer,
    type    text COLLATE "C" NOT NULL,
    state   bytea NOT NULL,
    PRIMARY KEY (stream, version)
);
COMMENT ON TABLE ledger.snapshot IS 'Aggregates as they once were, to spare reading long streams; derived, may be emptied at any time.';

-- Rights ----------------------------------------------------------------------------------------------------------------

GRANT USAGE ON SCHEMA ledger TO partner_ledger_application, partner_ledger_reader, partner_ledger_projector;
GRANT SELECT, INSERT ON ledger.event, ledger.identity, ledger.person, ledger.snapshot TO partner_ledger_application;
GRANT SELECT, UPDATE ON ledger.head TO partner_ledger_application;
GRANT SELECT, INSERT, UPDATE ON ledger.import_progress, ledger.import_refusal TO partner_ledger_application;
GRANT SELECT ON ledger.event_json TO partner_ledger_application;
GRANT SELECT ON ledger.head, ledger.event, ledger.event_json, ledger.identity, ledger.import_progress, ledger.import_refusal
    TO partner_ledger_reader;
GRANT SELECT ON ledger.head, ledger.event, ledger.event_json TO partner_ledger_projector;

-- Keys and indexes of the tables that rows are only added to. A new build that is filled as events come has them from the start; a
-- rebuild makes them when its tables are full, which takes a fraction of the time. One statement each.
--
-- Rows stand nearly in the order of their positions, so a page of positions is found by a BRIN index of a few kilobytes where there
-- is no key by position.
ALTER TABLE partner ADD PRIMARY KEY (partner);
CREATE INDEX ON partner USING brin (position) WITH (pages_per_range = 32, autosummarize = on);
ALTER TABLE tier ADD PRIMARY KEY (position);
CREATE INDEX ON tier (partner, position);
ALTER TABLE specialisation ADD PRIMARY KEY (position);
CREATE INDEX ON specialisation (partner, position);
ALTER TABLE membership ADD PRIMARY KEY (position);
CREATE INDEX ON membership (partner, position);
ALTER TABLE sale ADD PRIMARY KEY (deal_id);
CREATE INDEX ON sale (partner, closed_on);
CREATE INDEX ON sale USING brin (position) WITH (pages_per_range = 32, autosummarize = on);
ALTER TABLE reversal ADD PRIMARY KEY (reversal_id);
CREATE INDEX ON reversal (deal_id);
CREATE INDEX ON reversal USING brin (position) WITH (pages_per_range = 32, autosummarize = on);
ALTER TABLE bonus_line ADD PRIMARY KEY (position, n);
CREATE INDEX ON bonus_line (partner, posting_date);
ALTER TABLE audit ADD PRIMARY KEY (position);

-- The ledger: the order of things. Bytes of parts are in the blob store; the ledger alone names them.
-- Statements are separated by lines that hold only "--;".
--
-- Roles: exchange_owner owns the schema and migrates it; exchange_server is the exchange centre;
-- exchange_authority is the certificate authority; exchange_integrator keeps the transfer log.
-- They are shared by all databases of a cluster, so each is made only where it is missing.
do $$
declare
    role text;
begin
    foreach role in array array['exchange_server', 'exchange_authority', 'exchange_integrator'] loop
        if not exists (select from pg_roles where rolname = role) then
            execute format('create role %I nologin', role);
        end if;
    end loop;
end $$
--;
create schema exchange
--;
grant usage on schema exchange to exchange_server, exchange_authority, exchange_integrator

--; ------------------------------------------------------------------ the registry
create table exchange.registry_version (
    only_row boolean primary key default true check (only_row),
    version bigint not null
)
--;
insert into exchange.registry_version (version) values (1)
--;
create table exchange.regions (
    code text primary key check (code ~ '^[0-9]{6}$'),
    name_zh text not null,
    name_en text not null,
    valid_from date,
    valid_to date
)
--;
create table exchange.businesses (
    code text primary key check (code ~ '^[A-Z][A-Z0-9_]{0,39}$'),
    name_zh text not null,
    name_en text not null
)
--;
create table exchange.units (
    unit_id text primary key check (unit_id ~ '^[a-z0-9-]{2,40}$'),
    name_zh text not null,
    name_en text not null,
    short_zh text not null,
    kind text not null check (kind in ('DISTRICT', 'DEPARTMENT', 'OFFICE', 'CENTRE')),
    organisation_code text check (organisation_code ~ '^[0-9A-Z]{9}$'),
    credit_code text check (credit_code ~ '^[0-9A-Z]{18}$'),
    region text references exchange.regions (code),
    issuer_marks text[] not null default '{}',
    groups text[] not null default '{}',
    contact text not null default '',
    status text not null default 'ACTIVE' check (status in ('ACTIVE', 'SUSPENDED', 'CLOSED')),
    check (organisation_code is not null or credit_code is not null),
    check (substr(credit_code, 9, 9) = organisation_code)
)
--;
-- A credit code contains the organisation code of the same body, so both name one body.
create unique index units_one_body
    on exchange.units (coalesce(organisation_code, substr(credit_code, 9, 9)))
--;
create unique index units_credit_code on exchange.units (credit_code)
--;
create table exchange.acts_for (
    unit_id text not null references exchange.units (unit_id),
    issuer text not null references exchange.units (unit_id),
    primary key (unit_id, issuer),
    check (unit_id <> issuer)
)
--;
create table exchange.authorities (
    name text not null check (name in ('root', 'tls-ca', 'seal-ca')),
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    der bytea not null,
    primary key (name, fingerprint)
)
--;
create table exchange.certificates (
    fingerprint bytea primary key check (octet_length(fingerprint) = 32),
    serial text not null unique,
    identity text not null,
    profile text not null,
    role text check (role in ('operator', 'security', 'auditor')),
    unit_id text generated always as (substring(identity from '/unit/([a-z0-9-]{2,40})/')) stored,
    not_before timestamptz not null,
    not_after timestamptz not null,
    der bytea not null,
    issued_at timestamptz not null,
    revoked_at timestamptz,
    revocation_reason text
)
--;
create index certificates_unit on exchange.certificates (unit_id)
--;
create table exchange.crls (
    issuer text not null check (issuer in ('root', 'tls-ca', 'seal-ca')),
    number bigint not null,
    this_update timestamptz not null,
    next_update timestamptz not null,
    der bytea not null,
    primary key (issuer, number)
)

--; ------------------------------------------------------------------ locks
-- Whoever accepts a document or a receipt holds these shared until commit; whoever changes what
-- was decided upon takes them exclusively, by trigger, on whatever path the change comes. So no
-- decision is committed upon a fact that was withdrawn meanwhile.
create function exchange.lock_registry_shared() returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(7001, 1);  -- units and policy
    perform pg_advisory_xact_lock_shared(7001, 2);  -- certificates
end $$
--;
create function exchange.registry_changes() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock(7001, tg_argv[0]::int);
    return null;
end $$
--;
create function exchange.registry_changed() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    update exchange.registry_version set version = version + 1;
    perform pg_notify('registry', '');
    return null;
end $$
--;
create trigger locks before insert or update or delete on exchange.units
    for each statement execute function exchange.registry_changes('1')
--;
create trigger locks before insert or update or delete on exchange.acts_for
    for each statement execute function exchange.registry_changes('1')
--;
create trigger locks before insert or update or delete on exchange.businesses
    for each statement execute function exchange.registry_changes('1')
--;
-- Issuing a certificate withdraws nothing, so it waits for nobody.
create trigger locks before update or delete on exchange.certificates
    for each statement execute function exchange.registry_changes('2')
--;
create trigger bumps after insert or update or delete on exchange.units
    for each statement execute function exchange.registry_changed()
--;
create trigger bumps after insert or update or delete on exchange.acts_for
    for each statement execute function exchange.registry_changed()
--;
create trigger bumps after insert or update or delete on exchange.businesses
    for each statement execute function exchange.registry_changed()
--;
create trigger bumps after insert or update or delete on exchange.certificates
    for each statement execute function exchange.registry_changed()
--;
create trigger bumps after insert or update or delete on exchange.crls
    for each statement execute function exchange.registry_changed()
--;
create trigger bumps after insert or update or delete on exchange.authorities
    for each statement execute function exchange.registry_changed()

--; ------------------------------------------------------------------ events
create sequence exchange.event_no
--;
create table exchange.events (
    event_no bigint not null,
    event_id uuid not null,
    at timestamptz not null,
    type text not null,
    actor text not null,
    envelope_id uuid,
    recipient text,
    salt bytea not null check (octet_length(salt) = 32),
    event bytea not null check (octet_length(event) <= 65536),
    leaf bytea not null check (leaf = sha256(salt || event)),
    primary key (event_no, at)
) partition by range (at)
--;
create index events_envelope on exchange.events (envelope_id) where envelope_id is not null
--;
-- What the integrator has not put into the transfer log yet.
create table exchange.event_queue (
    event_no bigint primary key,
    at timestamptz not null
)
--;
create function exchange.record_event(
    p_event_id uuid, p_at timestamptz, p_type text, p_actor text, p_envelope_id uuid,
    p_recipient text, p_salt bytea, p_event bytea
) returns bigint language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- Drawn after the row locks of the caller's transaction, so that the events of one
    -- delivery are numbered in the order in which they were decided.
    v_event_no bigint := nextval('exchange.event_no');
begin
    insert into exchange.events
        (event_no, event_id, at, type, actor, envelope_id, recipient, salt, event, leaf)
    values (v_event_no, p_event_id, p_at, p_type, p_actor, p_envelope_id, p_recipient,
            p_salt, p_event, sha256(p_salt || p_event));
    insert into exchange.event_queue (event_no, at) values (v_event_no, p_at);
    return v_event_no;
end $$

--; ------------------------------------------------------------------ documents
create table exchange.envelopes (
    envelope_id uuid primary key,
    sender text not null,
    sender_system text not null,
    doc_id text not null,
    business text not null,
    genre text not null,
    urgency text not null,
    title text not null,
    number text not null,
    part_count smallint not null,
    size_bytes bigint not null,
    manifest bytea not null,
    manifest_sha256 bytea not null check (manifest_sha256 = sha256(manifest)),
    signatures bytea[] not null,
    root_crl bigint not null,
    seal_crl bigint not null,
    accepted_at timestamptz not null,
    receipt bytea not null,
    receipt_signature bytea not null,
    event_no bigint not null
) partition by range (envelope_id)
--;
create index envelopes_sender on exchange.envelopes (sender, envelope_id)
--;
-- Unique for its sender, except in an envelope that supersedes or refers to an earlier one.
create table exchange.doc_ids (
    sender text not null,
    doc_id text not null,
    envelope_id uuid not null,
    primary key (sender, doc_id)
)
--;
create table exchange.parts (
    envelope_id uuid not null,
    part smallint not null,
    part_id text not null,
    size_bytes bigint not null,
    sha256 bytea not null,
    primary key (envelope_id, part)
) partition by range (envelope_id)
--;
create table exchange.blocks (
    envelope_id uuid not null,
    part smallint not null,
    block int not null,
    object_key text not null,
    size_bytes int not null check (size_bytes between 1 and 8 * 1024 * 1024),
    sha256 bytea not null check (octet_length(sha256) = 32),
    primary key (envelope_id, part, block)
) partition by range (envelope_id)
--;
create table exchange.deliveries (
    envelope_id uuid not null,
    recipient text not null,
    sender text not null,
    kind text not null check (kind in ('TO', 'CC')),
    state text not null,
    seq bigint not null,
    updated_at timestamptz not null,
    primary key (envelope_id, recipient)
) partition by range (envelope_id)
--;
create index deliveries_recipient on exchange.deliveries (recipient, envelope_id)
--;
create table exchange.statements (
    envelope_id uuid not null,
    recipient text not null,
    seq bigint not null,
    type text not null,
    receipt_id uuid not null,
    receipt bytea not null,
    receipt_signature bytea not null,
    admission bytea,
    admission_signature bytea,
    root_crl bigint not null,
    seal_crl bigint not null,
    recorded_at timestamptz not null,
    event_no bigint not null,
    primary key (envelope_id, recipient, seq),
    unique (envelope_id, recipient, receipt_id),
    check ((admission is null) = (admission_signature is null))
) partition by range (envelope_id)
--;
-- What a party has not yet taken note of, as recipient (R) or as sender (S).
create table exchange.attention (
    unit_id text not null,
    side text not null check (side in ('R', 'S')),
    envelope_id uuid not null,
    recipient text not null,
    seq bigint not null,
    confirmed_seq bigint not null default -1,
    primary key (unit_id, side, envelope_id, recipient)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)
--;
-- The legal transitions, as document_exchange/transitions.py has them; a test compares the two.
create table exchange.transitions (
    state_before text not null,
    type text not null,
    state_after text not null,
    primary key (state_before, type)
)
--;
insert into exchange.transitions (state_before, type, state_after) values
    ('PENDING', 'DELIVERED', 'DELIVERED'),
    ('DELIVERED', 'SIGNED_FOR', 'SIGNED_FOR'),
    ('DELIVERED', 'REFUSED', 'REFUSED'),
    ('PENDING', 'REFUSED', 'REFUSED')

--; ------------------------------------------------------------------ partitions
-- An envelope_id is a UUIDv7: its first 48 bits are milliseconds, so ranges of it are ranges of time.
create function exchange.first_uuid7(p_at timestamptz) returns uuid language sql immutable as $$
    select (lpad(to_hex(floor(extract(epoch from p_at) * 1000)::bigint), 12, '0')
            || repeat('0', 20))::uuid
$$
--;
create function exchange.ensure_partitions(p_from timestamptz, p_months int) returns int
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_month timestamp := date_trunc('month', p_from at time zone 'UTC');
    v_low timestamptz;
    v_high timestamptz;
    v_table text;
    v_name text;
    v_made int := 0;
begin
    perform pg_advisory_xact_lock(7001, 9);
    for i in 0 .. p_months - 1 loop
        v_low := (v_month + make_interval(months => i)) at time zone 'UTC';
        v_high := (v_month + make_interval(months => i + 1)) at time zone 'UTC';
        foreach v_table in array array['envelopes', 'parts', 'blocks', 'deliveries', 'statements', 'events'] loop
            v_name := v_table || to_char(v_low at time zone 'UTC', '_YYYY_MM');
            if to_regclass('exchange.' || v_name) is null then
                if v_table = 'events' then
                    execute format('create table exchange.%I partition of exchange.%I for values from (%L) to (%L)',
                        v_name, v_table, v_low, v_high);
                else
                    execute format('create table exchange.%I partition of exchange.%I for values from (%L) to (%L)',
                        v_name, v_table, exchange.first_uuid7(v_low), exchange.first_uuid7(v_high));
                end if;
                -- Signatures do not compress, and whoever reads a row wants all of it: up to a
                -- page a row stays whole, without an attempt at compression or a second table.
                execute format('alter table exchange.%I set (toast_tuple_target = 8160)', v_name);
                v_made := v_made + 1;
            end if;
        end loop;
    end loop;
    return v_made;
end $$
--;
select exchange.ensure_partitions(now() - interval '62 days', 6)

--; ------------------------------------------------------------------ accepting an envelope
-- Step 6 in the life of a document: one transaction, one round trip. Reads again, under the
-- shared locks, what may have changed since it was checked. Answers with an outcome:
--   ACCEPTED, EXISTS (look it up), UNIT_NOT_ACTIVE, CERTIFICATE_REVOKED, SEAL_REVOKED,
--   CENTRE_SEAL_REVOKED, RECIPIENTS_REFUSED, ACTS_FOR, TOO_SLOW, DOC_ID_TAKEN, EARLIER_UNKNOWN; all but
--   the first wrote nothing.
create function exchange.accept_envelope(
    p_envelope_id uuid, p_sender text, p_sender_system text, p_caller bytea,
    p_issuers text[], p_acts_for text, p_doc_id text, p_business text, p_genre text, p_urgency text, p_title text, p_number text,
    p_earlier uuid[], p_manifest bytea, p_manifest_sha256 bytea, p_signatures bytea[],
    p_seals bytea[], p_centre_seal bytea, p_root_crl bigint, p_seal_crl bigint,
    p_part_ids text[], p_part_sizes bigint[], p_part_digests bytea[],
    p_block_parts int[], p_block_numbers int[], p_block_keys text[],
    p_block_sizes int[], p_block_digests bytea[],
    p_recipients text[], p_kinds text[],
    p_accepted_at timestamptz, p_oldest_block_at timestamptz, p_longest_upload interval,
    p_receipt bytea, p_receipt_signature bytea,
    p_event_id uuid, p_actor text, p_salt bytea, p_event bytea,
    out outcome text, out detail text
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_event_no bigint;
begin
    perform exchange.lock_registry_shared();
    -- One at a time for one envelope: a retry waits for the first and then finds it.
    perform pg_advisory_xact_lock(hashtextextended(p_envelope_id::text, 7002));

    if exists (select from exchange.envelopes where envelope_id = p_envelope_id) then
        outcome := 'EXISTS';
        return;
    end if;
    select i into detail from unnest(p_sender || p_issuers) i
     where not exists (select from exchange.units u where u.unit_id = i and u.status = 'ACTIVE')
     limit 1;
    if found then
        outcome := 'UNIT_NOT_ACTIVE';
        return;
    end if;
    if not exists (select from exchange.certificates where fingerprint = p_caller and revoked_at is null) then
        outcome := 'CERTIFICATE_REVOKED';
        return;
    end if;
    select encode(f, 'hex') into detail from unnest(p_seals) f
     where not exists (select from exchange.certificates c where c.fingerprint = f and c.revoked_at is null)
     limit 1;
    if found then
        outcome := 'SEAL_REVOKED';
        return;
    end if;
    if not exists (select from exchange.certificates where fingerprint = p_centre_seal and revoked_at is null) then
        outcome := 'CENTRE_SEAL_REVOKED';
        return;
    end if;
    select string_agg(r, ',') into detail from unnest(p_recipients) r
     where not exists (select from exchange.units u where u.unit_id = r and u.status <> 'CLOSED');
    if detail is not null then
        outcome := 'RECIPIENTS_REFUSED';
        return;
    end if;
    if p_acts_for <> '' and not exists (
        select from exchange.acts_for a where a.unit_id = p_sender and a.issuer = p_acts_for
    ) then
        outcome := 'ACTS_FOR';
        detail := p_acts_for;
        return;
    end if;
    -- By the database's clock and the age of the blocks: what is older may be swept at any time.
    if p_oldest_block_at is not null and p_oldest_block_at < clock_timestamp() - p_longest_upload then
        outcome := 'TOO_SLOW';
        return;
    end if;
    if cardinality(p_earlier) > 0 then
        if (select count(*) from exchange.envelopes e
             where e.envelope_id = any (p_earlier) and e.sender = p_sender and e.doc_id = p_doc_id)
           <> cardinality(p_earlier) then
            outcome := 'EARLIER_UNKNOWN';
            return;
        end if;
    else
        insert into exchange.doc_ids (sender, doc_id, envelope_id)
        values (p_sender, p_doc_id, p_envelope_id) on conflict do nothing;
        if not found then
            outcome := 'DOC_ID_TAKEN';
            return;
        end if;
    end if;

    v_event_no := exchange.record_event(
        p_event_id, p_accepted_at, 'ENVELOPE_ACCEPTED', p_actor, p_envelope_id, null, p_salt, p_event);
    insert into exchange.envelopes
        (envelope_id, sender, sender_system, doc_id, business, genre, urgency, title, number,
         part_count, size_bytes, manifest, manifest_sha256, signatures, root_crl, seal_crl,
         accepted_at, receipt, receipt_signature, event_no)
    values (p_envelope_id, p_sender, p_sender_system, p_doc_id, p_business, p_genre, p_urgency,
            p_title, p_number, cardinality(p_part_ids), (select sum(s) from unnest(p_part_sizes) s),
            p_manifest, p_manifest_sha256, p_signatures, p_root_crl, p_seal_crl,
            p_accepted_at, p_receipt, p_receipt_signature, v_event_no);
    insert into exchange.parts (envelope_id, part, part_id, size_bytes, sha256)
    select p_envelope_id, o - 1, i, s, d
      from unnest(p_part_ids, p_part_sizes, p_part_digests) with ordinality as t (i, s, d, o);
    insert into exchange.blocks (envelope_id, part, block, object_key, size_bytes, sha256)
    select p_envelope_id, p, b, k, s, d
      from unnest(p_block_parts, p_block_numbers, p_block_keys, p_block_sizes, p_block_digests)
        as t (p, b, k, s, d);
    insert into exchange.deliveries (envelope_id, recipient, sender, kind, state, seq, updated_at)
    select p_envelope_id, r, p_sender, k, 'PENDING', 0, p_accepted_at
      from unnest(p_recipients, p_kinds) as t (r, k);
    insert into exchange.attention (unit_id, side, envelope_id, recipient, seq)
    select r, 'R', p_envelope_id, r, 0 from unnest(p_recipients) r;
    outcome := 'ACCEPTED';
end $$

--; ------------------------------------------------------------------ recording a statement
-- Step 9: state, receipt, admission, event and attention in one transaction. The caller decided
-- upon (p_expected_seq, p_state_before); if the delivery has moved on, or the receipt was
-- recorded before, nothing is written.
-- Outcomes: RECORDED, CHANGED (read again and decide again), NOT_FOUND, UNIT_NOT_ACTIVE,
--   CERTIFICATE_REVOKED, SEAL_REVOKED, CENTRE_SEAL_REVOKED.
create function exchange.record_statement(
    p_envelope_id uuid, p_recipient text, p_expected_seq bigint, p_state_before text,
    p_state_after text, p_type text, p_by_side text, p_by_unit text, p_caller bytea, p_seal bytea, p_centre_seal bytea,
    p_receipt_id uuid, p_receipt bytea, p_receipt_signature bytea,
    p_admission bytea, p_admission_signature bytea, p_root_crl bigint, p_seal_crl bigint,
    p_recorded_at timestamptz, p_event_id uuid, p_actor text, p_salt bytea, p_event bytea,
    out outcome text, out detail text
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_delivery exchange.deliveries;
    v_event_no bigint;
begin
    perform exchange.lock_registry_shared();

    if not exists (select from exchange.units where unit_id = p_by_unit and status = 'ACTIVE') then
        outcome := 'UNIT_NOT_ACTIVE';
        return;
    end if;
    if not exists (select from exchange.certificates where fingerprint = p_caller and revoked_at is null) then
        outcome := 'CERTIFICATE_REVOKED';
        return;
    end if;
    if p_seal is not null and not exists (
        select from exchange.certificates where fingerprint = p_seal and revoked_at is null
    ) then
        outcome := 'SEAL_REVOKED';
        return;
    end if;
    if not exists (select from exchange.certificates where fingerprint = p_centre_seal and revoked_at is null) then
        outcome := 'CENTRE_SEAL_REVOKED';
        return;
    end if;
    select * into v_delivery from exchange.deliveries
     where envelope_id = p_envelope_id and recipient = p_recipient for update;
    if not found then
        outcome := 'NOT_FOUND';
        return;
    end if;
    if v_delivery.seq <> p_expected_seq or v_delivery.state <> p_state_before
       or exists (select from exchange.statements s
                   where s.envelope_id = p_envelope_id and s.recipient = p_recipient
                     and s.receipt_id = p_receipt_id) then
        outcome := 'CHANGED';
        return;
    end if;
    -- The guard of last resort: a program that asks for anything else has a fault.
    if not exists (select from exchange.transitions t
                    where t.state_before = p_state_before and t.type = p_type and t.state_after = p_state_after) then
        raise exception 'illegal transition % -% -> %', p_state_before, p_type, p_state_after
            using errcode = 'check_violation';
    end if;

    v_event_no := exchange.record_event(
        p_event_id, p_recorded_at, p_type, p_actor, p_envelope_id, p_recipient, p_salt, p_event);
    update exchange.deliveries
       set state = p_state_after, seq = p_expected_seq + 1, updated_at = p_recorded_at
     where envelope_id = p_envelope_id and recipient = p_recipient;
    insert into exchange.statements
        (envelope_id, recipient, seq, type, receipt_id, receipt, receipt_signature,
         admission, admission_signature, root_crl, seal_crl, recorded_at, event_no)
    values (p_envelope_id, p_recipient, p_expected_seq + 1, p_type, p_receipt_id, p_receipt,
            p_receipt_signature, p_admission, p_admission_signature, p_root_crl, p_seal_crl,
            p_recorded_at, v_event_no);

    -- Who did not make this statement has something new to see.
    if p_by_side = 'R' then
        insert into exchange.attention (unit_id, side, envelope_id, recipient, seq)
        values (v_delivery.sender, 'S', p_envelope_id, p_recipient, p_expected_seq + 1)
        on conflict (unit_id, side, envelope_id, recipient) do update set seq = excluded.seq;
        -- Acting on it shows that the recipient saw the acceptance, and of its own steps it
        -- knows; what the sender said meanwhile stays until confirmed.
        if p_state_after not in ('PENDING', 'DELIVERED') then
            delete from exchange.attention
             where unit_id = p_recipient and side = 'R' and envelope_id = p_envelope_id
               and recipient = p_recipient and seq <= greatest(confirmed_seq, 0);
        end if;
    else
        insert into exchange.attention (unit_id, side, envelope_id, recipient, seq)
        values (p_recipient, 'R', p_envelope_id, p_recipient, p_expected_seq + 1)
        on conflict (unit_id, side, envelope_id, recipient) do update set seq = excluded.seq;
    end if;
    outcome := 'RECORDED';
end $$
--;
-- The row goes once everything was confirmed; a recipient's stays while it still has to act.
create function exchange.confirm_seen(
    p_unit_id text, p_side text, p_envelope_id uuid, p_recipient text, p_seq bigint
) returns void language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    update exchange.attention set confirmed_seq = greatest(confirmed_seq, least(p_seq, seq))
     where unit_id = p_unit_id and side = p_side and envelope_id = p_envelope_id and recipient = p_recipient;
    delete from exchange.attention a
     where a.unit_id = p_unit_id and a.side = p_side and a.envelope_id = p_envelope_id
       and a.recipient = p_recipient and a.confirmed_seq >= a.seq
       and (p_side = 'S' or exists (
            select from exchange.deliveries d
             where d.envelope_id = p_envelope_id and d.recipient = p_recipient
               and d.state not in ('PENDING', 'DELIVERED')));
end $$

--; ------------------------------------------------------------------ what the authority may write
create function exchange.publish_authority(p_name text, p_fingerprint bytea, p_der bytea)
    returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into exchange.authorities (name, fingerprint, der)
    values (p_name, p_fingerprint, p_der) on conflict do nothing;
    return found;
end $$
--;
create function exchange.publish_certificate(
    p_fingerprint bytea, p_serial text, p_identity text, p_profile text, p_role text,
    p_not_before timestamptz, p_not_after timestamptz, p_der bytea, p_issued_at timestamptz,
    p_event_id uuid, p_salt bytea, p_event bytea
) returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if sha256(p_der) <> p_fingerprint then
        raise exception 'the fingerprint is not that of the certificate' using errcode = 'check_violation';
    end if;
    insert into exchange.certificates
        (fingerprint, serial, identity, profile, role, not_before, not_after, der, issued_at)
    values (p_fingerprint, p_serial, p_identity, p_profile, p_role, p_not_before, p_not_after,
            p_der, p_issued_at)
    on conflict (fingerprint) do nothing;
    if not found then
        return false;
    end if;
    perform exchange.record_event(p_event_id, clock_timestamp(), 'CERTIFICATE_ISSUED',
        convert_from(p_event, 'UTF8')::jsonb ->> 'actor', null, null, p_salt, p_event);
    return true;
end $$
--;
create function exchange.publish_revocation(
    p_fingerprint bytea, p_revoked_at timestamptz, p_reason text,
    p_event_id uuid, p_salt bytea, p_event bytea
) returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update exchange.certificates set revoked_at = p_revoked_at, revocation_reason = p_reason
     where fingerprint = p_fingerprint and revoked_at is null;
    if not found then
        return false;
    end if;
    perform exchange.record_event(p_event_id, clock_timestamp(), 'CERTIFICATE_REVOKED',
        convert_from(p_event, 'UTF8')::jsonb ->> 'actor', null, null, p_salt, p_event);
    return true;
end $$
--;
create function exchange.publish_crl(
    p_issuer text, p_number bigint, p_this_update timestamptz, p_next_update timestamptz, p_der bytea
) returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into exchange.crls (issuer, number, this_update, next_update, der)
    values (p_issuer, p_number, p_this_update, p_next_update, p_der) on conflict do nothing;
    return found;
end $$

--; ------------------------------------------------------------------ rights
revoke all on all functions in schema exchange from public
--;
grant execute on function exchange.publish_authority, exchange.publish_certificate,
    exchange.publish_revocation, exchange.publish_crl to exchange_authority
--;
grant select on exchange.authorities, exchange.certificates, exchange.crls, exchange.units to exchange_authority
--;
grant select on all tables in schema exchange to exchange_server
--;
-- The centre writes by these functions alone: what was accepted or said is never changed or
-- deleted, and a delivery moves on by a statement only.
grant execute on function exchange.record_event, exchange.accept_envelope,
    exchange.record_statement, exchange.confirm_seen,
    exchange.ensure_partitions to exchange_server

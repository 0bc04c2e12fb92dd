-- Routes: who may send what to whom. The most specific that fits decides; none fits: denied.
create table exchange.routes (
    -- self is the built-in rule.
    route_id text primary key check (route_id ~ '^[a-z0-9][a-z0-9._-]{0,62}$' and route_id <> 'self'),
    effect text not null check (effect in ('ALLOW', 'DENY')),
    sender text not null check (sender ~ '^([*]|unit:[a-z0-9-]{2,40}|group:[a-z0-9-]{2,40})$'),
    recipient text not null check (recipient ~ '^([*]|unit:[a-z0-9-]{2,40}|group:[a-z0-9-]{2,40})$'),
    business text not null default '*',
    genre text not null default '*' check (genre ~ '^([*]|[A-Z]{1,40})$'),
    direction text not null default '*' check (direction in ('*', 'UP', 'DOWN', 'PARALLEL')),
    note text not null default ''
)
--;
create trigger locks before insert or update or delete on exchange.routes
    for each statement execute function exchange.registry_changes('1')
--;
create trigger bumps after insert or update or delete on exchange.routes
    for each statement execute function exchange.registry_changed()
--;
grant select on exchange.routes to exchange_server
--;
-- A rule that names what does not exist would silently never count, a denial above all. Looked at
-- when the transaction ends, so that what a rule names may come with it. Groups have no list.
create function exchange.route_names() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_party text;
begin
    foreach v_party in array array[new.sender, new.recipient] loop
        if v_party like 'unit:%' and not exists (
            select from exchange.units where unit_id = substr(v_party, 6)
        ) then
            raise exception 'route % names %, and there is no such unit', new.route_id, v_party
                using errcode = 'foreign_key_violation';
        end if;
    end loop;
    if new.business <> '*' and not exists (select from exchange.businesses where code = new.business) then
        raise exception 'route % names business %, and there is no such line of business',
            new.route_id, new.business using errcode = 'foreign_key_violation';
    end if;
    return null;
end $$
--;
create constraint trigger names after insert or update on exchange.routes
    deferrable initially deferred for each row execute function exchange.route_names()

--; ------------------------------------------------------------------ accepting an envelope
-- As before, but who may send what to whom is no longer looked up again one by one: the caller says
-- upon which version of the directory it decided, and decides again where that has changed.
-- Outcomes: ACCEPTED, EXISTS (look it up), DIRECTORY_CHANGED (detail: the version now),
--   CERTIFICATE_REVOKED, SEAL_REVOKED, CENTRE_SEAL_REVOKED, TOO_SLOW, DOC_ID_TAKEN, EARLIER_UNKNOWN;
--   all but the first wrote nothing.
drop function exchange.accept_envelope
--;
create function exchange.accept_envelope(
    p_envelope_id uuid, p_sender text, p_sender_system text, p_caller bytea,
    p_doc_id text, p_business text, p_genre text, p_urgency text, p_title text, p_number text,
    p_earlier uuid[], p_manifest bytea, p_manifest_sha256 bytea, p_signatures bytea[],
    p_seals bytea[], p_centre_seal bytea, p_directory bigint, p_root_crl bigint, p_seal_crl bigint,
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
    -- Units, systems, groups, routes, lines of business and acts_for are what they were decided upon.
    select directory::text into detail from exchange.registry_version where directory <> p_directory;
    if found then
        outcome := 'DIRECTORY_CHANGED';
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
-- As before; a system that was suspended or closed records nothing (SYSTEM_NOT_ACTIVE).
drop function exchange.record_statement
--;
create function exchange.record_statement(
    p_envelope_id uuid, p_recipient text, p_expected_seq bigint, p_state_before text,
    p_state_after text, p_type text, p_by_side text, p_by_unit text, p_by_system text,
    p_caller bytea, p_seal bytea, p_centre_seal bytea,
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
    -- A system without a row has nothing against it.
    if exists (select from exchange.systems
                where unit_id = p_by_unit and name = p_by_system and status <> 'ACTIVE') then
        outcome := 'SYSTEM_NOT_ACTIVE';
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
revoke all on function exchange.route_names, exchange.accept_envelope, exchange.record_statement from public
--;
grant execute on function exchange.accept_envelope, exchange.record_statement to exchange_server

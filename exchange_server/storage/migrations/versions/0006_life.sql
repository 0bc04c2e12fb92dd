-- The whole life of a delivery: every step that it may take, and what is to be done by when.
alter table exchange.deliveries
    -- Asked for after it was signed for, and neither granted nor declined yet.
    add column withdrawal_requested boolean not null default false,
    add column last_type text not null default 'ACCEPTED',
    -- The last statement that changed where the delivery stands: what a conflicting one lost to.
    add column decided_seq bigint not null default 0,
    add column sign_due timestamptz,
    -- Not while an answer stands.
    add column reply_due timestamptz,
    -- A deadline that still counts has passed.
    add column overdue boolean not null default false,
    -- The envelope that supersedes this one or declares it void, where the recipient has got that.
    add column replaced_by uuid

--; ------------------------------------------------------------------ transitions
-- The legal transitions, as document_exchange/transitions.py has them; a test compares the two.
-- by_side is whose step it is: R makes it or causes it (DELIVERED), S makes it, C is the centre alone.
delete from exchange.transitions
--;
alter table exchange.transitions
    add column by_side text not null check (by_side in ('R', 'S', 'C')),
    add column only_for text[],
    add column if_requested boolean
--;
insert into exchange.transitions (state_before, type, state_after, by_side, only_for, if_requested) values
    ('PENDING', 'DELIVERED', 'DELIVERED', 'R', null, null),
    ('PENDING', 'REFUSED', 'REFUSED', 'R', '{BAD_SIGNATURE,DIGEST_MISMATCH}', null),
    ('PENDING', 'WITHDRAWN', 'WITHDRAWN', 'S', null, null),
    ('PENDING', 'EXPIRED', 'EXPIRED', 'C', null, null),
    ('DELIVERED', 'REFUSED', 'REFUSED', 'R', null, null),
    ('DELIVERED', 'SIGNED_FOR', 'SIGNED_FOR', 'R', null, null),
    ('DELIVERED', 'WITHDRAWN', 'WITHDRAWN', 'S', null, null),
    ('SIGNED_FOR', 'PROGRESS', 'SIGNED_FOR', 'R', null, null),
    ('SIGNED_FOR', 'COMPLETED', 'COMPLETED', 'R', null, null),
    ('SIGNED_FOR', 'RETURNED', 'RETURNED', 'R', null, null),
    ('SIGNED_FOR', 'WITHDRAWAL_REQUESTED', 'SIGNED_FOR', 'S', null, false),
    ('SIGNED_FOR', 'WITHDRAWAL_GRANTED', 'WITHDRAWN', 'R', null, true),
    ('SIGNED_FOR', 'WITHDRAWAL_DECLINED', 'SIGNED_FOR', 'R', null, true),
    ('REFUSED', 'OFFERED_AGAIN', 'PENDING', 'S', null, null),
    ('PENDING', 'URGED', 'PENDING', 'S', null, null),
    ('PENDING', 'REMINDED', 'PENDING', 'C', null, null),
    ('PENDING', 'OVERDUE', 'PENDING', 'C', null, null),
    ('DELIVERED', 'URGED', 'DELIVERED', 'S', null, null),
    ('DELIVERED', 'REMINDED', 'DELIVERED', 'C', null, null),
    ('DELIVERED', 'OVERDUE', 'DELIVERED', 'C', null, null),
    ('SIGNED_FOR', 'URGED', 'SIGNED_FOR', 'S', null, null),
    ('SIGNED_FOR', 'REMINDED', 'SIGNED_FOR', 'C', null, null),
    ('SIGNED_FOR', 'OVERDUE', 'SIGNED_FOR', 'C', null, null)

--; ------------------------------------------------------------------ deadlines
-- What is still to be done by a recipient, and by when; a row goes when it is done, or no longer to
-- be done. Each is reminded of once before, and overdue once after: what has happened is marked in
-- the transaction that records the statement about it. A reply that is answered counts no more, but
-- stays: the answer may be taken back, or refused.
create table exchange.deadlines (
    envelope_id uuid not null,
    recipient text not null,
    kind text not null check (kind in ('SIGN_FOR', 'REPLY')),
    remind_at timestamptz not null,
    due_at timestamptz not null,
    reminded boolean not null default false,
    overdue boolean not null default false,
    -- The envelope that answers, while it stands.
    answered_by uuid,
    next_at timestamptz generated always as (
        case when overdue or answered_by is not null then null
             when reminded then due_at else least(remind_at, due_at) end) stored,
    -- Until then some process is at it, or it rests: it could not be said so often in a row.
    claimed_until timestamptz not null default '-infinity',
    failures int not null default 0,
    primary key (envelope_id, recipient, kind)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)
--;
create index deadlines_next on exchange.deadlines (next_at) include (kind) where next_at is not null
--;
create index deadlines_overdue on exchange.deadlines (kind) where overdue and answered_by is null
--;
create function exchange.set_deadlines(
    p_envelope_id uuid, p_recipients text[], p_kinds text[],
    p_sign_remind_at timestamptz, p_sign_due timestamptz,
    p_reply_remind_at timestamptz, p_reply_due timestamptz
) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if p_sign_due is not null then
        insert into exchange.deadlines (envelope_id, recipient, kind, remind_at, due_at)
        select p_envelope_id, r, 'SIGN_FOR', p_sign_remind_at, p_sign_due from unnest(p_recipients) r;
    end if;
    -- Who has only got a copy owes no reply.
    if p_reply_due is not null then
        insert into exchange.deadlines (envelope_id, recipient, kind, remind_at, due_at)
        select p_envelope_id, r, 'REPLY', p_reply_remind_at, p_reply_due
          from unnest(p_recipients, p_kinds) as t (r, k) where k = 'TO';
    end if;
end $$

--; ------------------------------------------------------------------ links between envelopes
create table exchange.links (
    envelope_id uuid not null,
    kind text not null check (kind in ('REPLY_TO', 'SUPERSEDES', 'REFERS_TO', 'VOIDS')),
    earlier uuid not null,
    primary key (envelope_id, kind)
) partition by range (envelope_id)
--;
-- The same, for each party of the later envelope: so that what follows upon an envelope is found
-- for one unit without looking at what others, however many, wrote to one another. Whom it is from
-- is who sent it, and in a row of its own each issuer for which it answers.
create table exchange.link_parties (
    earlier uuid not null,
    unit_id text not null,
    envelope_id uuid not null,
    sender text not null,
    kind text not null,
    primary key (earlier, unit_id, envelope_id, sender, kind)
) partition by range (earlier)
--;
create index link_answers on exchange.link_parties (earlier, unit_id, sender, envelope_id)
    where kind = 'REPLY_TO'
--;
-- As before, for every table that is partitioned.
create or replace function exchange.ensure_partitions(p_from timestamptz, p_months int) returns int
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
        for v_table in
            select c.relname from pg_partitioned_table p join pg_class c on c.oid = p.partrelid
             where c.relnamespace = 'exchange'::regnamespace order by c.relname
        loop
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
-- A table that comes later needs them for all envelopes that are there.
create function exchange.ensure_past_partitions() returns int
    language sql set search_path = pg_catalog, pg_temp as $$
    select exchange.ensure_partitions(s.since, (extract(year from s.age) * 12 + extract(month from s.age))::int + 5)
      from (select f.since, age(now(), f.since) as age
              from (select least(now(), (select min(accepted_at) from exchange.envelopes))
                           - interval '62 days' as since) f) s
$$
--;
select exchange.ensure_past_partitions()

--; ------------------------------------------------------------------ what is there already
-- Every statement so far has changed where its delivery stands.
update exchange.deliveries d set last_type = s.type, decided_seq = d.seq
  from exchange.statements s
 where s.envelope_id = d.envelope_id and s.recipient = d.recipient and s.seq = d.seq
--;
insert into exchange.links (envelope_id, kind, earlier)
select m.envelope_id, k.kind, k.earlier::uuid
  from (select envelope_id, convert_from(manifest, 'UTF8')::json as manifest from exchange.envelopes) m,
       lateral (values ('SUPERSEDES', m.manifest->>'supersedes'),
                       ('REFERS_TO', m.manifest->>'refers_to')) as k (kind, earlier)
 where k.earlier is not null
--;
insert into exchange.link_parties (earlier, unit_id, envelope_id, sender, kind)
select l.earlier, u.unit_id, l.envelope_id, e.sender, l.kind
  from exchange.links l join exchange.envelopes e using (envelope_id),
       lateral (select e.sender as unit_id
                union select recipient from exchange.deliveries d where d.envelope_id = l.envelope_id) u
--;
update exchange.deliveries earlier set replaced_by = l.envelope_id
  from exchange.links l join exchange.deliveries later using (envelope_id)
 where l.kind = 'SUPERSEDES' and earlier.envelope_id = l.earlier
   and earlier.recipient = later.recipient

--; ------------------------------------------------------------------ answers
-- The first answer of a recipient that stands: it went to who asked, and was not refused, returned,
-- withdrawn or declared void since. Of its answers the last hundred are looked at, so that nobody
-- makes this slow by answering again and again.
create function exchange.standing_answer(p_envelope_id uuid, p_asker text, p_recipient text)
    returns uuid language sql stable set search_path = pg_catalog, pg_temp as $$
    select r.envelope_id
      from (select p.envelope_id from exchange.link_parties p
             where p.earlier = p_envelope_id and p.unit_id = p_asker and p.sender = p_recipient
               and p.kind = 'REPLY_TO'
             order by p.envelope_id desc limit 100) r
      join exchange.envelopes e on e.envelope_id = r.envelope_id
      join exchange.deliveries b on b.envelope_id = r.envelope_id and b.recipient = p_asker
     where b.state not in ('REFUSED', 'RETURNED', 'WITHDRAWN')
       and not exists (select from exchange.links v
                        where v.envelope_id = b.replaced_by and v.kind = 'VOIDS')
     order by e.accepted_at, e.envelope_id limit 1
$$
--;
-- The deliveries that an envelope answers, of those askers.
create function exchange.answered_deliveries(p_answer uuid, p_askers text[])
    returns table (envelope_id uuid, recipient text)
    language sql stable rows 5 set search_path = pg_catalog, pg_temp as $$
    select d.envelope_id, d.recipient
      from exchange.links l
      join exchange.link_parties p
        on p.earlier = l.earlier and p.envelope_id = l.envelope_id and p.kind = 'REPLY_TO'
      join exchange.deliveries d
        on d.envelope_id = p.earlier and d.recipient = p.sender and d.sender = p.unit_id
     where l.envelope_id = p_answer and l.kind = 'REPLY_TO' and p.unit_id = any (p_askers)
$$
--;
-- Lock a delivery's row. Who locks several, locks them in the order of envelope and recipient, so
-- that no two wait in a ring.
create function exchange.lock_delivery(p_envelope_id uuid, p_recipient text) returns void
    language sql set search_path = pg_catalog, pg_temp as $$
    select from exchange.deliveries
     where envelope_id = p_envelope_id and recipient = p_recipient for update
$$
--;
-- Whether a deadline that counts has passed. The delivery is locked.
create function exchange.settle_overdue(p_envelope_id uuid, p_recipient text) returns void
    language sql set search_path = pg_catalog, pg_temp as $$
    update exchange.deliveries d set overdue = not d.overdue
     where d.envelope_id = p_envelope_id and d.recipient = p_recipient
       and d.overdue <> exists (
            select from exchange.deadlines l
             where l.envelope_id = d.envelope_id and l.recipient = d.recipient
               and l.overdue and l.answered_by is null)
$$
--;
-- Whether a reply is still owed, now that an answer came or went. The delivery is locked.
create function exchange.settle_reply(p_envelope_id uuid, p_recipient text) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    update exchange.deadlines l
       set answered_by = exchange.standing_answer(d.envelope_id, d.sender, d.recipient),
           claimed_until = '-infinity'
      from exchange.deliveries d
     where l.envelope_id = p_envelope_id and l.recipient = p_recipient and l.kind = 'REPLY'
       and d.envelope_id = p_envelope_id and d.recipient = p_recipient;
    if found then
        update exchange.deliveries d
           set reply_due = case when l.answered_by is null then l.due_at end
          from exchange.deadlines l
         where d.envelope_id = p_envelope_id and d.recipient = p_recipient
           and l.envelope_id = p_envelope_id and l.recipient = p_recipient and l.kind = 'REPLY';
        perform exchange.settle_overdue(p_envelope_id, p_recipient);
    end if;
end $$

--; ------------------------------------------------------------------ what awaits a time-stamp
-- Signatures of the centre: of its own receipts and of its admissions. ACCEPTED has no recipient.
create table exchange.stamp_queue (
    envelope_id uuid not null,
    recipient text not null,
    seq bigint not null,
    signature_sha256 bytea not null check (octet_length(signature_sha256) = 32),
    queued_at timestamptz not null default clock_timestamp(),
    primary key (envelope_id, recipient, seq)
) with (autovacuum_vacuum_scale_factor = 0.02)
--;
create index stamp_queue_age on exchange.stamp_queue (queued_at)

--; ------------------------------------------------------------------ accepting an envelope
-- As before, with links to earlier envelopes, deadlines, and the signature queued for its stamp.
-- Outcomes besides: REPLY_TO_UNKNOWN, VOIDS_UNKNOWN.
drop function exchange.accept_envelope
--;
create function exchange.accept_envelope(
    p_envelope_id uuid, p_sender text, p_sender_system text, p_caller bytea,
    p_doc_id text, p_business text, p_genre text, p_urgency text, p_title text, p_number text,
    p_supersedes uuid, p_refers_to uuid, p_voids uuid, p_reply_to uuid, p_issuers text[],
    p_manifest bytea, p_manifest_sha256 bytea, p_signatures bytea[],
    p_seals bytea[], p_centre_seal bytea, p_directory bigint, p_root_crl bigint, p_seal_crl bigint,
    p_part_ids text[], p_part_sizes bigint[], p_part_digests bytea[],
    p_block_parts int[], p_block_numbers int[], p_block_keys text[],
    p_block_sizes int[], p_block_digests bytea[],
    p_recipients text[], p_kinds text[],
    p_accepted_at timestamptz, p_oldest_block_at timestamptz, p_longest_upload interval,
    p_receipt bytea, p_receipt_signature bytea,
    p_event_id uuid, p_actor text, p_salt bytea, p_event bytea,
    p_sign_remind_at timestamptz, p_sign_due timestamptz,
    p_reply_remind_at timestamptz, p_reply_due timestamptz, p_stamp boolean,
    out outcome text, out detail text
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_event_no bigint;
    v_earlier uuid[] := array_remove(array[p_supersedes, nullif(p_refers_to, p_supersedes)], null);
    v_replaced uuid := coalesce(p_supersedes, p_voids);
    -- In whose name it answers: an office writes for its government.
    v_answering text[] := array_append(array_remove(p_issuers, p_sender), p_sender);
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
    if p_voids is not null and not exists (
        select from exchange.envelopes where envelope_id = p_voids and sender = p_sender
    ) then
        outcome := 'VOIDS_UNKNOWN';
        return;
    end if;
    -- Who answers has sent it, or got it.
    if p_reply_to is not null
       and not exists (select from exchange.envelopes
                        where envelope_id = p_reply_to and sender = any (v_answering))
       and not exists (select from exchange.deliveries
                        where envelope_id = p_reply_to and recipient = any (v_answering)) then
        outcome := 'REPLY_TO_UNKNOWN';
        return;
    end if;
    if cardinality(v_earlier) > 0 then
        if (select count(*) from exchange.envelopes e
             where e.envelope_id = any (v_earlier) and e.sender = p_sender and e.doc_id = p_doc_id)
           <> cardinality(v_earlier) then
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
    insert into exchange.deliveries
        (envelope_id, recipient, sender, kind, state, seq, updated_at, sign_due, reply_due)
    select p_envelope_id, r, p_sender, k, 'PENDING', 0, p_accepted_at, p_sign_due,
           case when k = 'TO' then p_reply_due end
      from unnest(p_recipients, p_kinds) as t (r, k);
    perform exchange.set_deadlines(p_envelope_id, p_recipients, p_kinds,
        p_sign_remind_at, p_sign_due, p_reply_remind_at, p_reply_due);
    insert into exchange.attention (unit_id, side, envelope_id, recipient, seq)
    select r, 'R', p_envelope_id, r, 0 from unnest(p_recipients) r;
    if coalesce(p_supersedes, p_refers_to, p_voids, p_reply_to) is not null then
        insert into exchange.links (envelope_id, kind, earlier)
        select p_envelope_id, k, e
          from unnest(array['SUPERSEDES', 'REFERS_TO', 'VOIDS', 'REPLY_TO'],
                      array[p_supersedes, p_refers_to, p_voids, p_reply_to]) as t (k, e)
         where e is not null;
        insert into exchange.link_parties (earlier, unit_id, sender, envelope_id, kind)
        select l.earlier, u, a, l.envelope_id, l.kind
          from exchange.links l, (select p_sender union select unnest(p_recipients)) as t (u),
               unnest(v_answering) as a
         where l.envelope_id = p_envelope_id
           and (a = p_sender or (l.kind = 'REPLY_TO' and exists (
                select from exchange.deliveries d where d.envelope_id = l.earlier and d.recipient = a)));
    end if;
    if coalesce(v_replaced, p_reply_to) is not null then
        perform exchange.lock_delivery(t.envelope_id, t.recipient) from (
            select v_replaced as envelope_id, r as recipient from unnest(p_recipients) r
             where v_replaced is not null
            union select * from exchange.answered_deliveries(p_voids, p_recipients)
            union select * from exchange.answered_deliveries(p_envelope_id, p_recipients)
            order by 1, 2) t;
    end if;
    if v_replaced is not null then
        -- Who is told so has nothing left to do by a time.
        update exchange.deliveries set replaced_by = p_envelope_id, overdue = false
         where envelope_id = v_replaced and recipient = any (p_recipients);
        delete from exchange.deadlines
         where envelope_id = v_replaced and recipient = any (p_recipients);
    end if;
    if coalesce(p_voids, p_reply_to) is not null then
        perform exchange.settle_reply(t.envelope_id, t.recipient) from (
            select * from exchange.answered_deliveries(p_voids, p_recipients)
            union select * from exchange.answered_deliveries(p_envelope_id, p_recipients)) t;
    end if;
    if p_stamp then
        insert into exchange.stamp_queue (envelope_id, recipient, seq, signature_sha256)
        values (p_envelope_id, '', 0, sha256(p_receipt_signature));
    end if;
    outcome := 'ACCEPTED';
end $$

--; ------------------------------------------------------------------ what a step leaves to be done
create function exchange.deadlines_after(p_envelope_id uuid, p_recipient text, p_state text)
    returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    delete from exchange.deadlines
     where envelope_id = p_envelope_id and recipient = p_recipient
       and (p_state not in ('PENDING', 'DELIVERED', 'SIGNED_FOR')
            or (kind = 'SIGN_FOR' and p_state = 'SIGNED_FOR'));
    perform exchange.settle_overdue(p_envelope_id, p_recipient);
end $$

--; ------------------------------------------------------------------ recording a statement
-- As before, for every party: p_by_side is R (the recipient made or caused it), S (the sender), or C:
-- the centre by itself, without a caller. A deadline is marked with the statement about it.
-- Outcomes besides: TOO_MANY of what may be said again and again.
drop function exchange.record_statement
--;
create function exchange.record_statement(
    p_envelope_id uuid, p_recipient text, p_expected_seq bigint, p_state_before text,
    p_state_after text, p_type text, p_reason_code text, p_deadline text,
    p_by_side text, p_by_unit text, p_by_system text,
    p_caller bytea, p_seal bytea, p_centre_seal bytea,
    p_receipt_id uuid, p_receipt bytea, p_receipt_signature bytea,
    p_admission bytea, p_admission_signature bytea, p_root_crl bigint, p_seal_crl bigint,
    p_recorded_at timestamptz, p_event_id uuid, p_actor text, p_salt bytea, p_event bytea,
    p_sign_remind_at timestamptz, p_sign_due timestamptz,
    p_reply_remind_at timestamptz, p_reply_due timestamptz, p_most int, p_stamp boolean,
    out outcome text, out detail text
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_delivery exchange.deliveries;
    v_transition exchange.transitions;
    v_requested boolean;
    v_event_no bigint;
    -- An answer that goes, or comes back: whoever gave it may owe one again, or no more.
    v_answers boolean := p_state_after <> p_state_before
        and (p_state_after in ('REFUSED', 'RETURNED', 'WITHDRAWN') or p_state_before = 'REFUSED');
begin
    perform exchange.lock_registry_shared();

    if p_by_side <> 'C' and not exists (
        select from exchange.units where unit_id = p_by_unit and status = 'ACTIVE'
    ) then
        outcome := 'UNIT_NOT_ACTIVE';
        return;
    end if;
    -- A system without a row has nothing against it.
    if p_by_side <> 'C' and exists (select from exchange.systems
                where unit_id = p_by_unit and name = p_by_system and status <> 'ACTIVE') then
        outcome := 'SYSTEM_NOT_ACTIVE';
        return;
    end if;
    if p_by_side <> 'C' and not exists (
        select from exchange.certificates where fingerprint = p_caller and revoked_at is null
    ) then
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
    if v_answers then
        perform exchange.lock_delivery(t.envelope_id, t.recipient) from (
            select p_envelope_id as envelope_id, p_recipient as recipient
            union select * from exchange.answered_deliveries(p_envelope_id, array[p_recipient])
            order by 1, 2) t;
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
    select * into v_transition from exchange.transitions t
     where t.state_before = p_state_before and t.type = p_type and t.state_after = p_state_after
       and t.by_side = p_by_side
       and (t.only_for is null or p_reason_code = any (t.only_for))
       and (t.if_requested is null or t.if_requested = v_delivery.withdrawal_requested);
    if not found
       or p_by_unit is distinct from
          (case p_by_side when 'R' then p_recipient when 'S' then v_delivery.sender end)
       or (p_seal is null) <> (p_type in ('DELIVERED', 'REMINDED', 'OVERDUE', 'EXPIRED'))
       or (p_deadline is null) <> (p_type not in ('REMINDED', 'OVERDUE'))
       or (p_type = 'EXPIRED' and not exists (
            select from exchange.units
             where unit_id = p_recipient and status = 'CLOSED' and successor is null)) then
        raise exception 'illegal transition % -% by %-> %', p_state_before, p_type, p_by_side, p_state_after
            using errcode = 'check_violation';
    end if;
    v_requested := p_state_after = 'SIGNED_FOR'
        and v_delivery.withdrawal_requested <> (v_transition.if_requested is not null);
    if p_type in ('PROGRESS', 'URGED', 'WITHDRAWAL_REQUESTED', 'OFFERED_AGAIN')
       and (select count(*) from exchange.statements s
             where s.envelope_id = p_envelope_id and s.recipient = p_recipient and s.type = p_type) >= p_most then
        outcome := 'TOO_MANY';
        return;
    end if;
    if p_deadline is not null then
        -- Once each, and a reminder only before.
        update exchange.deadlines
           set reminded = true, overdue = (p_type = 'OVERDUE'), claimed_until = '-infinity', failures = 0
         where envelope_id = p_envelope_id and recipient = p_recipient and kind = p_deadline
           and next_at is not null and (p_type = 'OVERDUE' or not reminded);
        if not found then
            outcome := 'CHANGED';
            return;
        end if;
    end if;

    v_event_no := exchange.record_event(
        p_event_id, p_recorded_at, p_type, p_actor, p_envelope_id, p_recipient, p_salt, p_event);
    update exchange.deliveries
       set state = p_state_after, seq = p_expected_seq + 1, updated_at = p_recorded_at,
           withdrawal_requested = v_requested, last_type = p_type,
           decided_seq = case when p_state_after <> p_state_before or v_requested <> withdrawal_requested
                              then p_expected_seq + 1 else decided_seq end,
           overdue = (overdue or p_type = 'OVERDUE') and p_state_after in ('PENDING', 'DELIVERED', 'SIGNED_FOR')
     where envelope_id = p_envelope_id and recipient = p_recipient;
    if p_state_after <> p_state_before then
        perform exchange.deadlines_after(p_envelope_id, p_recipient, p_state_after);
    end if;
    -- What has been replaced is offered without a deadline.
    if p_type = 'OFFERED_AGAIN' and v_delivery.replaced_by is null then
        perform exchange.set_deadlines(p_envelope_id, array[p_recipient], array[v_delivery.kind],
            p_sign_remind_at, p_sign_due, p_reply_remind_at, p_reply_due);
        update exchange.deliveries
           set sign_due = p_sign_due, reply_due = case when v_delivery.kind = 'TO' then p_reply_due end
         where envelope_id = p_envelope_id and recipient = p_recipient;
        perform exchange.settle_reply(p_envelope_id, p_recipient);
    end if;
    if v_answers then
        perform exchange.settle_reply(t.envelope_id, t.recipient)
           from exchange.answered_deliveries(p_envelope_id, array[p_recipient]) t;
    end if;
    insert into exchange.statements
        (envelope_id, recipient, seq, type, receipt_id, receipt, receipt_signature,
         admission, admission_signature, root_crl, seal_crl, recorded_at, event_no)
    values (p_envelope_id, p_recipient, p_expected_seq + 1, p_type, p_receipt_id, p_receipt,
            p_receipt_signature, p_admission, p_admission_signature, p_root_crl, p_seal_crl,
            p_recorded_at, v_event_no);
    if p_stamp then
        insert into exchange.stamp_queue (envelope_id, recipient, seq, signature_sha256)
        values (p_envelope_id, p_recipient, p_expected_seq + 1,
                sha256(coalesce(p_admission_signature, p_receipt_signature)));
    end if;

    -- Who did not make this statement has something new to see.
    if p_by_side = 'R' or p_type in ('OVERDUE', 'EXPIRED') then
        insert into exchange.attention (unit_id, side, envelope_id, recipient, seq)
        values (v_delivery.sender, 'S', p_envelope_id, p_recipient, p_expected_seq + 1)
        on conflict (unit_id, side, envelope_id, recipient) do update set seq = excluded.seq;
    end if;
    if p_by_side = 'R' then
        -- Acting on it shows that the recipient saw the acceptance, and of its own steps it
        -- knows; a reminder of what is done by now is nothing new, nor is a request that it has just
        -- answered; what else others said meanwhile stays until confirmed.
        if p_state_after not in ('PENDING', 'DELIVERED') then
            delete from exchange.attention a
             where a.unit_id = p_recipient and a.side = 'R' and a.envelope_id = p_envelope_id
               and a.recipient = p_recipient
               and (a.seq <= greatest(a.confirmed_seq, 0) or not exists (
                    select from exchange.statements s
                     where s.envelope_id = p_envelope_id and s.recipient = p_recipient
                       and s.seq > a.confirmed_seq and s.seq <= a.seq
                       and (s.type in ('URGED', 'OFFERED_AGAIN')
                            or (s.type = 'WITHDRAWAL_REQUESTED' and v_requested)))
                   and not exists (
                    select from exchange.deadlines l
                     where l.envelope_id = p_envelope_id and l.recipient = p_recipient
                       and (l.reminded or l.overdue) and l.answered_by is null));
        end if;
    elsif p_type = 'EXPIRED' then
        -- There is nobody left to see it.
        delete from exchange.attention
         where unit_id = p_recipient and side = 'R' and envelope_id = p_envelope_id
           and recipient = p_recipient;
    else
        insert into exchange.attention (unit_id, side, envelope_id, recipient, seq)
        values (p_recipient, 'R', p_envelope_id, p_recipient, p_expected_seq + 1)
        on conflict (unit_id, side, envelope_id, recipient) do update set seq = excluded.seq;
    end if;
    outcome := 'RECORDED';
end $$
--;
grant select on exchange.deadlines, exchange.links, exchange.link_parties, exchange.stamp_queue
    to exchange_server
--;
revoke all on function exchange.ensure_past_partitions, exchange.set_deadlines,
    exchange.deadlines_after, exchange.standing_answer, exchange.answered_deliveries,
    exchange.lock_delivery, exchange.settle_overdue, exchange.settle_reply,
    exchange.accept_envelope, exchange.record_statement from public
--;
grant execute on function exchange.standing_answer, exchange.accept_envelope,
    exchange.record_statement to exchange_server

-- The indexes of evidence that the centre has sealed, by what they index: sealed once, so that the
-- same evidence has the same bytes ever after. Only what can't be rebuilt is kept of them.
create table exchange.sealed_indexes (
    content_sha256 bytea primary key check (octet_length(content_sha256) = 32),
    envelope_id uuid not null,
    -- For which it was sealed first; what the same evidence has for others is the same.
    unit_id text not null,
    made_at timestamptz not null,
    -- The identity of the centre's seal.
    sealed_by text not null,
    -- The lists that were in force when it was sealed; they are part of the bundle.
    root_crl bigint not null,
    seal_crl bigint not null,
    signature bytea not null
)
--;
create index sealed_indexes_of_unit on exchange.sealed_indexes (envelope_id, unit_id, made_at)
--;
grant select on exchange.sealed_indexes to exchange_server
--;
-- Keeps the first one that comes, with its event, and gives the one that is kept. outcome: KEPT;
-- CENTRE_SEAL_REVOKED: signed with a seal that has been revoked meanwhile; TOO_MANY: the unit had
-- p_most sealed about this envelope within a day. For each unit, so that none uses up another's.
create function exchange.keep_sealed_index(
    p_content_sha256 bytea, p_envelope_id uuid, p_unit_id text, p_made_at timestamptz,
    p_sealed_by text, p_root_crl bigint, p_seal_crl bigint, p_signature bytea, p_centre_seal bytea,
    p_event_id uuid, p_actor text, p_salt bytea, p_event bytea, p_most int,
    out outcome text, out kept exchange.sealed_indexes
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform exchange.lock_registry_shared();
    -- One after the other for an envelope: each sees, and counts, what the one before has kept.
    perform pg_advisory_xact_lock(hashtextextended(p_envelope_id::text, 7009));
    select s.* into kept from exchange.sealed_indexes s where s.content_sha256 = p_content_sha256;
    if found then
        outcome := 'KEPT';
        return;
    end if;
    if not exists (select from exchange.certificates
                    where fingerprint = p_centre_seal and revoked_at is null) then
        outcome := 'CENTRE_SEAL_REVOKED';
        return;
    end if;
    if (select count(*) from exchange.sealed_indexes s
         where s.envelope_id = p_envelope_id and s.unit_id = p_unit_id
           and s.made_at > p_made_at - interval '1 day') >= p_most then
        outcome := 'TOO_MANY';
        return;
    end if;
    insert into exchange.sealed_indexes as s
        (content_sha256, envelope_id, unit_id, made_at, sealed_by, root_crl, seal_crl, signature)
    values (p_content_sha256, p_envelope_id, p_unit_id, p_made_at, p_sealed_by, p_root_crl,
            p_seal_crl, p_signature)
    returning s.* into kept;
    perform exchange.record_event(
        p_event_id, p_made_at, 'EVIDENCE_SEALED', p_actor, p_envelope_id, null, p_salt, p_event);
    outcome := 'KEPT';
end $$
--;
revoke all on function exchange.keep_sealed_index from public
--;
grant execute on function exchange.keep_sealed_index to exchange_server
